import JSON
import Security

/// The token of an `Authorization` header that a platform signs with a key of its own, and how it is made
/// for simulations.
///
/// Nobody but the platform has its key. So that deliveries can be simulated, an account may hold a key of
/// the operator's: what it signs is taken as well, and never without it.
enum BearerToken {
  static let testKeyName = "testKey"

  static let testKey = CredentialField(
    testKeyName,
    "Only for simulations: a private RSA key in PEM; what it signs is taken too. Leave it unset in "
      + "production.",
    isSecret: true, isRequired: false, isGenerated: false)

  enum Check: Sendable {
    /// The signature is good; the claims have not been looked at.
    case signed(VerifiedToken, isSimulated: Bool)
    case verdict(WebhookVerdict)
  }

  /// - Parameter keysURL: where the platform's keys are fetched.
  static func check(_ request: WebhookRequest, _ context: WebhookContext, keysURL: String) -> Check {
    guard let header = request.header("Authorization") else {
      return .verdict(.refused(reason: "the header Authorization is missing"))
    }
    let parts = header.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else {
      return .verdict(.refused(reason: "the header Authorization is not Bearer and a token"))
    }
    return check(token: parts[1], context, keysURL: keysURL)
  }

  static func check(
    token: some StringProtocol, _ context: WebhookContext, keysURL: String
  ) -> Check {
    let testKeys = context.secrets[testKeyName].compactMap { try? JWTKey(pem: $0, id: testKeyName) }
    if !testKeys.isEmpty, let token = try? VerifiedToken(token, keys: testKeys) {
      return .signed(token, isSimulated: true)
    }
    do throws(JWTError) {
      return .signed(
        try VerifiedToken(token, keys: context.keySets[keysURL] ?? []), isSimulated: false)
    } catch .keyUnknown {
      return .verdict(.needsKeys(url: keysURL))
    } catch {
      return .verdict(.refused(reason: error.description))
    }
  }

  /// What is wrong with the test keys of an account.
  static func fault(in secrets: AccountSecrets) -> String? {
    let areUsable = secrets[testKeyName].allSatisfy { text in
      guard let key = try? JWTKey(pem: text), key.algorithm == .rs256 else { return false }
      return (try? JWTSigner(key: key).sign([:])) != nil
    }
    return areUsable ? nil : "\(testKeyName) must be a private RSA key of 2048 bits or more, in PEM"
  }

  /// A token signed with the account's test key; nil when it has none.
  static func signed(_ claims: [String: JSONValue], secrets: AccountSecrets) -> String? {
    guard let text = secrets[testKeyName].first, let key = try? JWTKey(pem: text, id: testKeyName) else {
      return nil
    }
    return try? JWTSigner(key: key).sign(claims)
  }
}
