import Bytes
import JSON
import Messaging

/// The LINE Messaging API (https://developers.line.biz/en/reference/messaging-api/#webhooks).
///
/// A request carries events of one bot, or none when the console checks the URL. How each is read stands
/// in `LINEEvent`.
struct LINEPlatform: Platform {
  let name: PlatformName = "line"
  let displayName = "LINE"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, canMarkRead: true, hasTyping: true,
    textUnitsMax: 5_000,
    kinds: [.text, .image, .video, .audio, .sticker, .location])

  static let secretField = "channelSecret"
  private static let eventsMax = 1_000

  let credentials = [
    CredentialField(
      secretField, "The channel secret, from the channel's basic settings.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      LINEAPI.tokenField, "A channel access token; this or channelId is needed to send.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      LINEAPI.channelField, "The channel id: with it and the secret the hub gets tokens by itself.",
      isSecret: false, isRequired: false, isGenerated: false),
  ]

  private static let signature = HMACSignature(
    header: "X-Line-Signature", form: .base64, secretField: secretField)

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.secretField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    var result = Normalised()
    for event in try body.required("events", body.objects("events", max: Self.eventsMax)) {
      do throws(NormaliseError) {
        result.add(try LINEEvent(event, receivedAt: delivery.receivedAt).items())
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
