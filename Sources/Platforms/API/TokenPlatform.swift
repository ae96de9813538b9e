package import Bytes
import JSON

/// A platform whose calls need an access token that ends and has to be had anew. Pure.
package protocol TokenPlatform: Platform {
  /// How to get a token; nil: these credentials need none.
  /// - Parameter refresh: the refresh token that came with the last one, newer than the credentials.
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest?

  func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure>
}

/// A token as a platform gave it.
package struct AccessToken: Sendable, Equatable {
  package var value: String
  package var expiresAt: Timestamp
  /// Takes the place of the one before; nil: that one stays good.
  package var refresh: String?

  package init(value: String, expiresAt: Timestamp, refresh: String? = nil) {
    self.value = value
    self.expiresAt = expiresAt
    self.refresh = refresh
  }
}

/// The answer of an OAuth 2.0 token endpoint (RFC 6749 5.1).
enum BearerGrant {
  /// Longer lives are taken as this: a year.
  private static let secondsMax: Int64 = 31_536_000

  /// nil: it is no token.
  static func token(from answer: APIAnswer, now: Timestamp) -> AccessToken? {
    let json = answer.json
    guard answer.isSuccess, let value = json?["access_token"]?.string else { return nil }
    let given = json?["expires_in"]?.integer ?? json?["expires_in"]?.string.flatMap { Int64($0) } ?? 3_600
    let seconds = min(max(given, 0), secondsMax)
    return AccessToken(
      value: value, expiresAt: Timestamp(seconds: now.seconds + seconds),
      refresh: json?["refresh_token"]?.string)
  }
}

extension TokenPlatform {
  /// The answer of an OAuth 2.0 token endpoint (RFC 6749 5.1, 5.2).
  package func token(from answer: APIAnswer, now: Timestamp) -> Result<AccessToken, APIFailure> {
    if let token = BearerGrant.token(from: answer, now: now) { return .success(token) }
    let json = answer.json
    let reason = json?["error_description"]?.string ?? json?["error"]?.string
    // The grant is gone: nobody but a person can give another.
    if ["invalid_grant", "invalid_client", "unauthorized_client"].contains(json?["error"]?.string) {
      return .failure(
        APIFailure(reason ?? "the grant is not valid", .credentials(action: "connect the account again")))
    }
    return .failure(APIFailure(answer, reason: reason, isRepeatable: true, now: now))
  }
}
