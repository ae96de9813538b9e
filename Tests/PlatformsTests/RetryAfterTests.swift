import Bytes
import Platforms
import Testing

/// Every way in which a platform says how long it wants to be left alone.
@Suite struct RetryAfterTests {
  static let now = Timestamp(seconds: 1_795_219_200)

  struct Case: Sendable, CustomTestStringConvertible {
    let headers: [APIField]
    var status = 429
    let seconds: Double?
    var testDescription: String { headers.map { "\($0.name): \($0.value)" }.joined(separator: ", ") }
  }

  static let cases: [Case] = [
    Case(headers: [APIField("Retry-After", "30")], seconds: 30),
    Case(headers: [APIField("retry-after", "1.5")], seconds: 1.5),
    Case(headers: [APIField("Retry-After", "Sat, 21 Nov 2026 00:00:10 GMT")], seconds: 10),
    Case(headers: [APIField("Retry-After", "Fri, 20 Nov 2026 23:00:00 GMT")], seconds: 0),
    Case(headers: [APIField("Retry-After", "-5")], seconds: 0),
    Case(headers: [APIField("Retry-After", "soon")], seconds: nil),
    Case(headers: [APIField("Retry-After", "nan")], seconds: nil),
    Case(headers: [APIField("Retry-After", "1e30")], seconds: 3_600),
    Case(headers: [APIField("X-RateLimit-Reset-After", "0.25")], seconds: 0.25),
    Case(headers: [APIField("x-rate-limit-reset", "1795219260")], seconds: 60),
    Case(headers: [APIField("X-RateLimit-Reset", "2026-11-21T00:01:00.000Z")], seconds: 60),
    Case(headers: [APIField("X-RateLimit-Reset", "2026-11-21T00:01:00.750Z")], seconds: 60.75),
    Case(headers: [APIField("x-ratelimit-reset", "1795219260000")], seconds: 60),
    Case(headers: [APIField("ratelimit-reset", "7")], seconds: 7),
    Case(headers: [APIField("ratelimit-reset", "7")], status: 200, seconds: nil),
    Case(
      headers: [APIField("ratelimit-reset", "7"), APIField("ratelimit-remaining", "0")], status: 200,
      seconds: 7),
    Case(headers: [], seconds: nil),
    // The platform's clock is ten minutes ahead, or behind: its moments are by its own.
    Case(
      headers: [
        APIField("Date", "Sat, 21 Nov 2026 00:10:00 GMT"),
        APIField("Retry-After", "Sat, 21 Nov 2026 00:10:10 GMT"),
      ], seconds: 10),
    Case(
      headers: [
        APIField("Date", "Fri, 20 Nov 2026 23:50:00 GMT"), APIField("x-rate-limit-reset", "1795218660"),
      ], seconds: 60),
    Case(headers: [APIField("Date", "today"), APIField("ratelimit-reset", "7")], seconds: 7),
  ]

  @Test("no time is too long, too short or none at all")
  func bounds() {
    func remedy(_ remedy: APIFailure.Remedy) -> APIFailure.Remedy { APIFailure("r", remedy).remedy }
    #expect(remedy(.pauseAccount(seconds: 0)) == .pauseAccount(seconds: 1))
    #expect(remedy(.pauseAccount(seconds: -3)) == .pauseAccount(seconds: 1))
    #expect(remedy(.pauseAccount(seconds: .nan)) == .pauseAccount(seconds: 1))
    #expect(remedy(.pauseAccount(seconds: 0.25)) == .pauseAccount(seconds: 0.25))
    #expect(remedy(.pauseApp(seconds: 315_360_000)) == .pauseApp(seconds: 3_600))
    #expect(remedy(.later(seconds: 1e300)) == .later(seconds: 3_600))
    #expect(remedy(.later(seconds: .infinity)) == .later(seconds: 3_600))
    #expect(remedy(.later(seconds: .nan)) == .later(seconds: 0))
    #expect(remedy(.later(seconds: nil)) == .later(seconds: nil))
  }

  @Test("reads each form", arguments: cases)
  func forms(test: Case) {
    let answer = APIAnswer(status: test.status, headers: test.headers, body: [])
    #expect(RetryAfter.seconds(answer, now: Self.now) == test.seconds)
  }

  @Test("says by the status alone what can be done")
  func remedies() {
    func remedy(_ status: Int, repeatable: Bool = false) -> APIFailure.Remedy {
      APIFailure(APIAnswer(status: status, body: []), isRepeatable: repeatable, now: Self.now).remedy
    }
    #expect(remedy(429) == .pauseAccount(seconds: 5))
    #expect(remedy(503) == .later(seconds: nil))
    #expect(remedy(500) == .unknown)
    #expect(remedy(504) == .unknown)
    #expect(remedy(502, repeatable: true) == .later(seconds: nil))
    #expect(remedy(400) == .none)
    guard case .credentials = remedy(401) else {
      Issue.record("401 needs credentials")
      return
    }
  }
}
