import Hub
import Testing

@Suite struct BackoffTests {
  @Test("doubles to a limit and takes at most a half away")
  func doubling() {
    for attempt in 1...40 {
      let most = min(300, Double(UInt64(1) << UInt64(min(attempt - 1, 30))))
      for random: UInt64 in [0, 1, 999, 123_456_789, .max] {
        let seconds = Backoff.seconds(attempt: attempt, base: 1, limit: 300, random: random)
        #expect(seconds <= most && seconds >= most / 2)
      }
    }
    #expect(Backoff.seconds(attempt: 0, base: 2, limit: 300, random: 0) == 2)
  }
}
