import Bytes
import JSON
import Platforms
import Testing

@Suite struct PollPaceTests {
  /// Whether X is asked again that many seconds after the last pass; usually it is after 45.
  private static func asks(after seconds: Int64, pace: Double) throws -> Bool {
    let now = ChatJobs.now.seconds
    var job = PollJob(
      cursor: ["since": "1", "at": .integer(now - seconds)],
      secrets: AccountSecrets(["accessToken": ["T"], "userId": ["433"]]), now: ChatJobs.now)
    job.pace = pace
    return try Dialogue.poller("x").poll(job, after: []).request != nil
  }

  @Test("a quicker pace asks sooner, a slower one later")
  func pace() throws {
    #expect(try !Self.asks(after: 44, pace: 1))
    #expect(try Self.asks(after: 45, pace: 1))
    #expect(try !Self.asks(after: 4, pace: 10))
    #expect(try Self.asks(after: 5, pace: 10))
    #expect(try !Self.asks(after: 89, pace: 0.5))
    #expect(try Self.asks(after: 90, pace: 0.5))
  }

  @Test("what was asked for is read again, however soon it was")
  func stored() throws {
    #expect(try Self.asks(after: 0, pace: .infinity))
  }
}
