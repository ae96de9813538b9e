import Bytes
import JSON
import Messaging

/// The WhatsApp Business Platform, Cloud API
/// (https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks).
///
/// A request carries changes of several phone numbers. How each is read stands in `WhatsAppValue`; set-up
/// and limits in Webhooks/whatsapp/README.md.
struct WhatsAppPlatform: Platform {
  let name: PlatformName = "whatsapp"
  let displayName = "WhatsApp"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, reactionsMax: 1, canAttach: true, canQuote: true, hasReceipts: true,
    canMarkRead: true,
    hasTyping: true,
    textUnitsMax: 4_096, kinds: [.text, .image, .video, .audio, .file, .sticker, .location, .contact],
    replyWindow: 86_400, afterReplyWindow: "template")

  private static let phoneField = "phoneNumberId"

  let credentials = MetaWebhook.credentials(
    account: CredentialField(
      phoneField, "The phone number's id (not the number), from the app's WhatsApp settings.",
      isSecret: false, isRequired: false, isGenerated: false))
  let accountField: String? = phoneField
  let appCredentials = MetaWebhook.appCredentials
  let methods = MetaWebhook.methods
  let refusal: WebhookAnswer? = MetaWebhook.refusal

  func fault(in secrets: AccountSecrets) -> String? {
    MetaWebhook.fault(in: secrets, accountField: Self.phoneField)
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    MetaWebhook.generated(for: secrets, random: random)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    MetaWebhook.receive(request, context)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    var result = Normalised()
    let body = try JSONReader(body: delivery.body)
    for entry in try body.required("entry", body.objects("entry")) {
      for change in try entry.objects("changes") ?? [] {
        do throws(NormaliseError) {
          let value = try WhatsAppValue(
            change, changedAt: entry["time"]?.integer, receivedAt: delivery.receivedAt)
          value.read(into: &result)
        } catch {
          result.faults.append(error)
        }
      }
    }
    return result
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    MetaWebhook.signed(request, secrets: secrets)
  }
}
