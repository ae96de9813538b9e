package import EventLoop
package import MailWire

/// A logged-in session on a mail server.
///
/// It belongs to the task that connected it, on its loop, and does one thing at a time. Cancelling that task
/// closes the connection, as does every failure but `.refused` and `.uidValidityChanged`; `isClosed` tells,
/// and one connects anew. Polling a mailbox:
///
///     let state = try await client.select("INBOX")
///     var cursor = saved?.uidValidity == state.uidValidity ? saved : state.start
///     repeat {
///       page = try await client.page(after: cursor)
///       cursor = try await keep(page)
///     } while !page.isLast
///     let changes = try await client.idle(until: deadline)
package final class IMAPClient {
  enum Milestone {
    case established
    case idling
    case completed(IMAPStatus)
  }

  let configuration: IMAPConfiguration
  let connection: MailConnection
  var session: IMAPSession
  private var parser: IMAPResponseParser
  private var isBusy = false
  /// News that `idle` has not told yet.
  var news = MailboxChanges()
  /// Messages in the mailbox, as far as the news are counted.
  private var knownExists: UInt32 = 0

  private init(_ configuration: IMAPConfiguration, _ connection: MailConnection) {
    self.configuration = configuration
    self.connection = connection
    session = IMAPSession(
      security: configuration.server.security, credentials: configuration.credentials)
    parser = IMAPResponseParser(limits: configuration.parserLimits)
  }

  deinit {
    // Sockets are closed on their loop, and the last reference may go anywhere.
    let connection = connection
    connection.abandon()
  }

  package var loop: EventLoop { connection.loop }
  package var isClosed: Bool { connection.isClosed }
  package var capabilities: IMAPCapabilities { session.capabilities }
  package var selection: IMAPSelection? { session.selection }

  /// Connects and logs in. Call on the loop.
  /// - Throws: `.credentials` when the server knows neither user nor secret; `.unavailable`, `.connection`
  ///   and `.timedOut` are worth another try.
  package static func connect(
    _ configuration: IMAPConfiguration, on loop: EventLoop, blocking: BlockingPool
  ) async throws(IMAPFailure) -> IMAPClient {
    let deadline = loop.now + configuration.server.connectTimeout
    let connection: MailConnection
    do throws(SocketError) {
      connection = try await MailConnection.open(
        configuration.server, on: loop, blocking: blocking, deadline: deadline)
    } catch {
      throw failure(of: error)
    }
    let client = IMAPClient(configuration, connection)
    _ = try await client.exchange([], deadline: deadline)
    client.parser.namesAreUTF8 = client.capabilities.namesAreUTF8
    return client
  }

  /// Says goodbye and closes. Never throws: there is nothing to be done about it.
  package func logOut() async {
    guard !isClosed else { return }
    if session.isReady {
      _ = try? await exchange(session.begin(.logout), deadline: loop.now + .seconds(5))
    }
    connection.close()
  }

  /// Closes at once.
  package func close() {
    connection.close()
  }

  // MARK: Commands

  /// Runs one command to its end.
  /// - Throws: `.refused` for NO and BAD; then the session goes on.
  @discardableResult
  func perform(
    _ command: IMAPCommand, _ deliver: (IMAPResponse) throws(IMAPFailure) -> Void = { _ in }
  ) async throws(IMAPFailure) -> IMAPStatus {
    guard !isClosed else { throw .connection("the connection is closed") }
    guard !isBusy, session.isReady else { throw .unexpected("two commands at once on one session") }
    isBusy = true
    defer { isBusy = false }
    let deadline = loop.now + configuration.commandTimeout
    let milestone = try await exchange(session.begin(command), deadline: deadline, deliver)
    guard case .completed(let status) = milestone else { return IMAPStatus(.ok) }
    guard status.condition == .ok || command == .logout else { throw .refused(status) }
    return status
  }

  /// Does what the session says until it is at a milestone. Every failure closes the connection.
  func exchange(
    _ first: [IMAPSession.Action], deadline: LoopInstant,
    _ deliver: (IMAPResponse) throws(IMAPFailure) -> Void = { _ in }
  ) async throws(IMAPFailure) -> Milestone {
    do throws(IMAPFailure) {
      var actions = first
      while true {
        if let milestone = try await run(actions, deadline: deadline, deliver) { return milestone }
        actions = try await nextActions(deadline: deadline, silence: configuration.answerTimeout)
      }
    } catch {
      connection.close()
      throw error
    }
  }

  func run(
    _ actions: [IMAPSession.Action], deadline: LoopInstant,
    _ deliver: (IMAPResponse) throws(IMAPFailure) -> Void
  ) async throws(IMAPFailure) -> Milestone? {
    for action in actions {
      switch action {
      case .write(let bytes):
        try await onSocket { () async throws(SocketError) in
          try await connection.write(bytes, deadline: deadline)
        }
      case .startTLS:
        try await onSocket { () async throws(SocketError) in try await connection.startTLS(deadline: deadline)
        }
        return try await run(session.tlsStarted(), deadline: deadline, deliver)
      case .established: return .established
      case .idling: return .idling
      case .deliver(let response):
        note(response)
        try deliver(response)
      case .completed(let status): return .completed(status)
      case .failed(let failure): throw failure
      }
    }
    return nil
  }

  /// The next response's actions.
  /// - Parameter silence: the most that may pass without a byte; a large answer may take longer.
  func nextActions(deadline: LoopInstant, silence: Duration) async throws(IMAPFailure) -> [IMAPSession.Action]
  {
    while true {
      do throws(IMAPParseError) {
        if case .response(let response) = try parser.read(&connection.buffer) {
          return session.received(response)
        }
      } catch {
        throw .malformed(error)
      }
      let isOpen = try await onSocket { () async throws(SocketError) in
        try await connection.read(deadline: min(deadline, loop.now + silence))
      }
      if !isOpen { return session.ended() }
    }
  }

  private func onSocket<T>(
    _ body: () async throws(SocketError) -> T, isolation: isolated (any Actor)? = #isolation
  ) async throws(IMAPFailure) -> T {
    do throws(SocketError) {
      return try await body()
    } catch {
      throw Self.failure(of: error)
    }
  }

  private static func failure(of error: SocketError) -> IMAPFailure {
    if Task.isCancelled { return .cancelled }
    return error == .timedOut ? .timedOut : .connection("\(error)")
  }

  // MARK: News

  func forgetNews() {
    news = MailboxChanges()
    knownExists = selection?.exists ?? 0
  }

  private func note(_ response: IMAPResponse) {
    switch response {
    case .exists(let count):
      if count > knownExists { news.hasNewMail = true }
      knownExists = count
    case .expunge:
      news.hasRemovals = true
      knownExists -= min(1, knownExists)
    case .vanished(let uids, earlier: false):
      news.hasRemovals = true
      knownExists -= min(knownExists, UInt32(clamping: uids.count))
    default: break
    }
  }
}
