package import EventLoop

/// Hears channels (LISTEN) on a session of its own, and keeps hearing them.
///
/// PostgreSQL keeps no notification for a session that is away. So after each connection, the first
/// included, the owner is told `mayHaveMissed`: it reads what happened from its tables, and only then
/// trusts the notifications. They are delivered in the order PostgreSQL sent them.
package final class PostgresListener: @unchecked Sendable {
  // Safe because: used on its loop only, which `start` and `close` assert.

  package struct Configuration: Sendable {
    package var connection: PostgresConfiguration
    /// Names of at most 63 bytes.
    package var channels: [String]
    package var backoff: ClosedRange<Duration> = .milliseconds(50)...(.seconds(3))
    /// How often the quiet session is asked whether it still answers.
    package var probeInterval: Duration = .seconds(15)
    package var probeTimeout: Duration = .seconds(3)

    package init(connection: PostgresConfiguration, channels: [String]) {
      self.connection = connection
      self.channels = channels
    }
  }

  package enum Event: Sendable, Equatable {
    /// All channels are heard from now on; what was sent before may be missing.
    case mayHaveMissed
    case notification(PostgresNotification)
    /// Nothing is heard until the next `mayHaveMissed`.
    case lost(PostgresError, retryAfter: Duration)
  }

  package let loop: EventLoop
  private let configuration: Configuration
  private let blocking: BlockingPool
  private let random: @Sendable () -> UInt64
  private let handler: @Sendable (Event) -> Void
  private var connection: PostgresConnection?
  private var isClosed = false
  private var hasStarted = false

  /// - Parameter handler: called on the loop; must not block.
  package init(
    _ configuration: Configuration, on loop: EventLoop, blocking: BlockingPool,
    random: @escaping @Sendable () -> UInt64, handler: @escaping @Sendable (Event) -> Void
  ) {
    self.configuration = configuration
    self.loop = loop
    self.blocking = blocking
    self.random = random
    self.handler = handler
  }

  package var isListening: Bool { connection != nil }

  package func start() {
    loop.assertInLoop()
    guard !hasStarted else { return }
    hasStarted = true
    // No capture list: with one the closure would leave the loop. `close` ends the task.
    loop.spawn { shard in
      _ = shard.loop
      await self.keep()
    }
  }

  package func close() {
    loop.assertInLoop()
    isClosed = true
    connection?.close()
  }

  private func keep() async {
    var delay = configuration.backoff.lowerBound
    while !isClosed {
      let error: PostgresError
      do throws(PostgresError) {
        let connection = try await PostgresConnection.connect(
          configuration.connection, on: loop, blocking: blocking)
        guard !isClosed else { return connection.close() }
        delay = configuration.backoff.lowerBound
        error = try await hear(on: connection)
      } catch let failure {
        error = failure
      }
      connection?.close()
      connection = nil
      guard !isClosed else { return }
      let wait = delay / 2 + .nanoseconds(Int64(random() % UInt64(max(1, (delay / 2).wholeNanoseconds))))
      handler(.lost(error, retryAfter: wait))
      do { try await loop.sleep(for: wait) } catch { return }
      delay = min(delay * 2, configuration.backoff.upperBound)
    }
  }

  /// Listens until the session ends; asks it now and then whether it still lives.
  private func hear(on connection: PostgresConnection) async throws(PostgresError) -> PostgresError {
    let handler = handler
    self.connection = connection
    connection.onNotification = { handler(.notification($0)) }
    for channel in configuration.channels { try await connection.listen(channel) }
    handler(.mayHaveMissed)
    let ending = Ending()
    connection.onClose = { error in ending.finish(error) }
    let loop = loop
    while true {
      let error = await withUnsafeContinuation {
        (continuation: UnsafeContinuation<PostgresError?, Never>) in
        guard !connection.isClosed else {
          return continuation.resume(returning: PostgresError(.connectionLost, "the session ended"))
        }
        ending.continuation = continuation
        ending.timer = loop.schedule(after: configuration.probeInterval) { ending.finish(nil) }
      }
      if let error {
        if let timer = ending.timer { loop.cancel(timer) }
        return error
      }
      _ = try await connection.query("SELECT 1", deadline: loop.now + configuration.probeTimeout)
    }
  }

  private final class Ending {
    var continuation: UnsafeContinuation<PostgresError?, Never>?
    var timer: TimerToken?

    /// nil: time to ask the session whether it lives.
    func finish(_ error: PostgresError?) {
      guard let waiting = continuation else { return }
      continuation = nil
      waiting.resume(returning: error)
    }
  }
}
