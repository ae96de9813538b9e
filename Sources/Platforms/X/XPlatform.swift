import Bytes
import JSON
import Messaging

/// X: direct messages and posts by the Account Activity API and the X Activity API
/// (https://docs.x.com/x-api/webhooks/introduction).
///
/// X checks the URL again and again by a challenge (CRC). How deliveries are read stands in `XEvent`.
struct XPlatform: Platform {
  let name: PlatformName = "x"
  let displayName = "X"
  let parserVersion = 3
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, hasReceipts: true, hasTyping: true, textUnitsMax: 10_000,
    kinds: [.text, .image, .video])
  let methods = ["GET", "POST"]

  static let secretField = "consumerSecret"
  static let userField = "userId"
  private static let signature = HMACSignature(
    header: "X-Twitter-Webhooks-Signature", prefix: "sha256=", form: .base64, secretField: secretField)
  private static let tokenBytesMax = 1_024

  let credentials = [
    CredentialField(
      secretField, "The app's consumer (API) secret; not needed where an app of the hub has it.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      userField, "The id of the user whose account it is; finds the account where one URL serves an app.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      XAPI.tokenField, "The user's access token (OAuth 2.0); needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      XAPI.refreshField, "The user's refresh token (scope offline.access): access tokens last two hours.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      XAPI.clientField, "The app's OAuth 2.0 client id; needed with refreshToken.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      XAPI.clientSecretField, "The OAuth 2.0 client secret of a confidential app.", isSecret: true,
      isRequired: false, isGenerated: false),
  ]
  let accountField: String? = userField
  let appCredentials = [secretField]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.secretField, orAccount: Self.userField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if request.method == "GET" {
      guard let token = request.parameter("crc_token"), token.utf8.count <= Self.tokenBytesMax,
        let secret = context.secrets[Self.secretField].first
      else { return .refused(reason: "it is neither a delivery nor a challenge") }
      let code = Self.signature.prefix + Self.signature.text(of: Array(token.utf8), secret)
      return .answer(.json(["response_token": .string(code)]))
    }
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    if let data = try body.object("data") {
      let own = delivery.secrets.first(Self.userField)
      return try XEvent.activity(data, own: own, receivedAt: delivery.receivedAt)
    }
    return try XEvent(body, receivedAt: delivery.receivedAt).read()
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
