import EventLoop
import Postgres
import Synchronization

/// Asks the database whether it answers, at most once a second, however many ask the hub.
final class DatabaseProbe: Sendable {
  private static let lifetime: Duration = .seconds(1)
  private static let timeMax: Duration = .seconds(2)

  private struct Answer {
    let isConnected: Bool
    let expires: LoopInstant
  }

  private let answer = Mutex<Answer?>(nil)
  private let pool: PostgresPool
  private let loop: EventLoop

  init(_ pool: PostgresPool, on loop: EventLoop) {
    self.pool = pool
    self.loop = loop
  }

  /// A real round trip, or one that is less than a second old; a lost session is known at once. On the
  /// loop.
  func isConnected() async -> Bool {
    guard pool.isAvailable else { return false }
    let now = LoopInstant.current()
    if let answer = answer.withLock({ $0 }), answer.expires > now { return answer.isConnected }
    let isConnected = await ask(deadline: now + Self.timeMax)
    answer.withLock { $0 = Answer(isConnected: isConnected, expires: LoopInstant.current() + Self.lifetime) }
    return isConnected
  }

  private func ask(deadline: LoopInstant) async -> Bool {
    do {
      return try await pool.query("SELECT 1", [], deadline: deadline).count == 1
    } catch {
      return false
    }
  }
}
