import Bytes
import HTTPWire
import Security

/// Platforms that sign nothing: who calls knows a user name and a password (RFC 7617), or a token in the
/// webhook URL's query.
enum WebhookPassword {
  static let userField = "username"
  static let passwordField = "password"
  static let tokenField = "webhookToken"
  private static let parameter = "token"

  static let credentials = [
    CredentialField(
      tokenField, "A token that the webhook URL ends in: ?token=...", isSecret: true, isRequired: false,
      isGenerated: true),
    CredentialField(
      userField, "The user name, where the webhook URL has one.", isSecret: false, isRequired: false,
      isGenerated: false),
    CredentialField(
      passwordField, "The password, where the webhook URL has one.", isSecret: true, isRequired: false,
      isGenerated: false),
  ]

  /// Whether an account has one of the two.
  static func isSet(in secrets: AccountSecrets) -> Bool {
    !secrets[passwordField].isEmpty || !secrets[tokenField].isEmpty
  }

  static func fault(in secrets: AccountSecrets) -> String? {
    if (secrets[passwordField] + secrets[tokenField]).contains("") {
      return "\(passwordField) or \(tokenField) is empty"
    }
    if secrets[userField].contains(where: { $0.contains(":") }) { return "\(userField) has a colon" }
    return nil
  }

  /// A token, for an account that has nothing to be known by.
  static func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    isSet(in: secrets) ? [:] : [tokenField: Base64.encode(random(24), .url)]
  }

  /// - Returns: why a request is refused; nil: it is the platform's.
  static func refusal(of request: WebhookRequest, _ context: WebhookContext) -> String? {
    if let token = request.parameter(parameter), context.secrets.contains(token, in: tokenField) {
      return nil
    }
    guard let header = request.header("Authorization") else {
      return "it has neither the token nor a password"
    }
    let parts = header.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].lowercased() == "basic", let given = Base64.decode(parts[1]) else {
      return "the header Authorization is not Basic and base64"
    }
    let users = context.secrets[userField]
    let isGood = context.secrets.anyMatches(passwordField) { password in
      var isGood = false
      for user in users.isEmpty ? [""] : users
      where constantTimeEquals(given, Array("\(user):\(password)".utf8)) {
        isGood = true
      }
      return isGood
    }
    return isGood ? nil : "the password is wrong"
  }

  /// The request as it comes from the platform; nil when there is nothing to be known by.
  static func sign(_ request: WebhookRequest, secrets: AccountSecrets) -> WebhookRequest? {
    if let password = secrets[passwordField].first {
      let pair = "\(secrets[userField].first ?? ""):\(password)"
      return request.adding(WebhookHeader("Authorization", "Basic \(Base64.encode(Array(pair.utf8)))"))
    }
    guard let token = secrets[tokenField].first else { return nil }
    var signed = request
    let pair = "\(parameter)=\(PercentEncoding.encode(token))"
    signed.query = request.query.isEmpty ? pair : "\(request.query)&\(pair)"
    return signed
  }
}
