import Bytes
import JSON
import Messaging

/// Viber bots (https://developers.viber.com/docs/api/rest-bot-api/#callbacks).
///
/// A request carries one event. How each is read stands in `ViberEvent`.
struct ViberPlatform: Platform {
  let name: PlatformName = "viber"
  let displayName = "Viber"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, hasReceipts: true, textUnitsMax: 7_000,
    kinds: [.text, .image, .video, .file, .sticker, .location, .contact])

  static let tokenField = "authToken"

  let credentials = [
    CredentialField(
      tokenField, "The bot's authentication token; signs what comes and is needed to send.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      senderField, "The name that messages are sent under, of 28 characters; needed to send.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      avatarField, "The URL of the picture that messages are sent under.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  private static let signature = HMACSignature(
    header: "X-Viber-Content-Signature", form: .hex, secretField: tokenField)

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.tokenField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let event = try ViberEvent(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try event.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
