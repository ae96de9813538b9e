import Bytes
import JSON
import Messaging

/// Intercom's webhooks (https://developers.intercom.com/docs/webhooks): conversations with customers.
///
/// How each notification is read stands in `IntercomNotification`.
struct IntercomPlatform: Platform {
  let name: PlatformName = "intercom"
  let displayName = "Intercom"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, kinds: [.text, .image, .video, .audio, .file])
  let methods = ["POST", "HEAD"]

  private static let secretField = "clientSecret"
  private static let appField = "appId"
  private static let signature = HMACSignature(
    header: "X-Hub-Signature", prefix: "sha1=", hash: .sha1, form: .hex, secretField: secretField)

  let credentials = [
    CredentialField(
      secretField, "The client secret of the Intercom app; not needed where an app of the hub has it.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      appField, "The workspace's id (app_id); finds the account where one URL serves an app.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      IntercomAPI.tokenField, "An access token; needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      IntercomAPI.adminField, "The id of the teammate who answers; the token's own when it is not given.",
      isSecret: false, isRequired: false, isGenerated: false),
  ]
  let accountField: String? = appField
  let appCredentials = [secretField]

  func fault(in secrets: AccountSecrets) -> String? {
    secrets.first(IntercomAPI.tokenField) != nil && secrets[Self.secretField].isEmpty
      ? nil : RequiredSecret.fault(Self.secretField, orAccount: Self.appField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    // Asked when the URL is typed in: whether anybody is there.
    if request.method == "HEAD" { return .answer(.ok) }
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let notification = try IntercomNotification(body, receivedAt: delivery.receivedAt)
    return try notification.read()
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
