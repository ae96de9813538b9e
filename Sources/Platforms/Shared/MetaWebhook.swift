import Bytes

/// What the webhooks of WhatsApp, Messenger and Instagram have in common
/// (https://developers.facebook.com/docs/graph-api/webhooks/getting-started): the handshake and the
/// signature with the app's secret. Nothing signs a time.
enum MetaWebhook {
  static let secretField = "appSecret"
  static let verifyField = "verifyToken"
  private static let signature = HMACSignature(
    header: "X-Hub-Signature-256", prefix: "sha256=", form: .hex, secretField: secretField)
  private static let challengeBytesMax = 256

  static let methods = ["GET", "POST"]
  static let appCredentials = [secretField, verifyField]
  /// What Meta's console shows when the verify token is wrong.
  static let refusal = WebhookAnswer(status: 403)

  /// - Parameter account: names the platform's own id of an account.
  static func credentials(account: CredentialField) -> [CredentialField] {
    [
      account,
      CredentialField(
        secretField,
        "The app secret, from the app's basic settings; not needed where an app of the hub has it.",
        isSecret: true, isRequired: false, isGenerated: false),
      CredentialField(
        verifyField, "The verify token that is typed in beside the callback URL.", isSecret: true,
        isRequired: false, isGenerated: true),
      CredentialField(
        "accessToken", "A token of a system user or a page; needed to send.", isSecret: true,
        isRequired: false, isGenerated: false),
    ]
  }

  /// An account has a URL and a secret of its own, or is found by its id in what comes for its app.
  static func fault(in secrets: AccountSecrets, accountField: String) -> String? {
    RequiredSecret.fault(secretField, orAccount: accountField, in: secrets)
  }

  static func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[verifyField].isEmpty ? [verifyField: Base64.encode(random(24), .url)] : [:]
  }

  static func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if request.method == "GET" { return handshake(request, context) }
    if let reason = signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  private static func handshake(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard request.parameter("hub.mode") == "subscribe", let challenge = request.parameter("hub.challenge"),
      challenge.utf8.count <= challengeBytesMax
    else { return .refused(reason: "it is neither a delivery nor a handshake") }
    guard let token = request.parameter("hub.verify_token"),
      context.secrets.contains(token, in: verifyField)
    else { return .refused(reason: "the verify token is wrong") }
    return .answer(.text(challenge))
  }

  static func signed(_ request: WebhookRequest, secrets: AccountSecrets) -> WebhookRequest? {
    signature.sign(request, secrets: secrets)
  }
}
