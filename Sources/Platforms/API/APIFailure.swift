package import Bytes
import HTTPWire
import JSON
import Messaging

/// Why a platform did not do what it was asked, and what can be done about it.
package struct APIFailure: Error, Sendable, Equatable {
  package enum Remedy: Sendable, Equatable {
    /// Nothing: the same call will fail again.
    case none
    /// Try again, after this many seconds where the platform said so.
    case later(seconds: Double?)
    /// Everything of this account has to wait that long.
    case pauseAccount(seconds: Double)
    /// Everything of the app that the account belongs to has to wait that long.
    case pauseApp(seconds: Double)
    /// Get a new access token and try again.
    case renewToken
    /// A person has to give new credentials.
    case credentials(action: String)
    /// It may have been done all the same: to be found out before it is tried again.
    case unknown
    /// The cursor is no longer good: begin anew, and find what was missed by reading history.
    case restart

    /// With times that make sense, whatever a platform says: a pause of nothing would be none.
    var bounded: Remedy {
      switch self {
      case .later(let seconds): .later(seconds: seconds.map { RetryAfter.bounded($0, least: 0) })
      case .pauseAccount(let seconds): .pauseAccount(seconds: Self.pause(seconds))
      case .pauseApp(let seconds): .pauseApp(seconds: Self.pause(seconds))
      case .none, .renewToken, .credentials, .unknown, .restart: self
      }
    }

    private static func pause(_ seconds: Double) -> Double {
      seconds >= 0.1 ? RetryAfter.bounded(seconds, least: 0.1) : 1
    }
  }

  /// For people, in the platform's words where it has some.
  package let reason: String
  package let remedy: Remedy

  package init(_ reason: String, _ remedy: Remedy = .none) {
    self.reason = MessageText.sanitised(reason, bytesMax: 500)
    self.remedy = remedy.bounded
  }

  /// What an answer means by its status alone. Platforms that say more in the body look there first.
  /// - Parameters:
  ///   - reason: the platform's words.
  ///   - isRepeatable: whether the call may be made again when its effect is not known.
  package init(_ answer: APIAnswer, reason: String? = nil, isRepeatable: Bool, now: Timestamp) {
    let words = reason ?? "the platform answered \(answer.status)"
    let wait = RetryAfter.seconds(answer, now: now)
    switch answer.status {
    // A yes that does not say what of: something between may have said it.
    case 200..<300 where reason == nil:
      self.init("the answer cannot be read", isRepeatable ? .later(seconds: wait) : .unknown)
    case 401: self.init(words, .credentials(action: "give the account valid credentials"))
    case 429: self.init(words, .pauseAccount(seconds: wait ?? 5))
    case 408, 425, 503: self.init(words, .later(seconds: wait))
    case 500...: self.init(words, isRepeatable ? .later(seconds: wait) : .unknown)
    default: self.init(words)
    }
  }
}

/// How long a platform wants to be left alone, in each of the ways in which they say it.
package enum RetryAfter {
  /// Longer waits are taken as this.
  static let secondsMax: Double = 3_600

  /// - Returns: nil when the answer does not say.
  package static func seconds(_ answer: APIAnswer, now: Timestamp) -> Double? {
    // Its moments are by its own clock.
    let now =
      answer.header("date").flatMap { HTTPDate.parse($0) }.map { Timestamp(seconds: Int64($0)) } ?? now
    let wait =
      header(answer, now) ?? reset(answer, "x-ratelimit-reset-after").flatMap { $0 }
      ?? epoch(answer, now)
    return wait.map { bounded($0, least: 0) }
  }

  package static func bounded(_ seconds: Double, least: Double) -> Double {
    // What is no number is as good as nothing said.
    seconds.isNaN ? least : min(max(seconds, least), secondsMax)
  }

  /// RFC 9110 10.2.3: seconds, or a date. Some platforms send decimals.
  private static func header(_ answer: APIAnswer, _ now: Timestamp) -> Double? {
    guard let text = answer.header("retry-after") else { return nil }
    if let seconds = Double(text), seconds.isFinite { return seconds }
    return HTTPDate.parse(text).map { Double($0) - Double(now.seconds) }
  }

  private static func reset(_ answer: APIAnswer, _ name: String) -> Double? {
    answer.header(name).flatMap { Double($0) }.flatMap { $0.isFinite ? $0 : nil }
  }

  /// `x-rate-limit-reset` (X), `x-ratelimit-reset` (Mastodon, Intercom): when, as seconds since 1970 or as a
  /// date; a small number is seconds from now (Reddit, RFC draft). They count only when nothing is left.
  private static func epoch(_ answer: APIAnswer, _ now: Timestamp) -> Double? {
    guard answer.status == 429 || remaining(answer) == 0 else { return nil }
    for name in ["x-rate-limit-reset", "x-ratelimit-reset", "ratelimit-reset"] {
      guard let text = answer.header(name) else { continue }
      if let time = Timestamp(rfc3339: text) {
        // Never before its end: fractions count, and now is taken as the second that it is in.
        return Double(time.microseconds) / 1_000_000 - Double(now.seconds)
      }
      guard let number = Double(text), number.isFinite else { continue }
      if number > 100_000_000_000 { return number / 1_000 - Double(now.seconds) }
      return number > 1_000_000_000 ? number - Double(now.seconds) : number
    }
    return nil
  }

  /// Calls that are left in the platform's window; nil when it does not say.
  package static func remaining(_ answer: APIAnswer) -> Double? {
    for name in ["x-rate-limit-remaining", "x-ratelimit-remaining", "ratelimit-remaining"] {
      if let number = reset(answer, name) { return number }
    }
    return nil
  }
}
