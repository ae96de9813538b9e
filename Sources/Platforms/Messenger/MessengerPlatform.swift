import Bytes
import Messaging

/// Facebook Messenger, for pages (https://developers.facebook.com/docs/messenger-platform/webhooks).
///
/// A request carries events of several pages. How each is read stands in `MessengerEvent`.
struct MessengerPlatform: Platform {
  let name: PlatformName = "messenger"
  let displayName = "Facebook Messenger"
  let parserVersion = 3
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, reactionsMax: 1, canAttach: true, canQuote: true, hasReceipts: true,
    canMarkRead: true,
    hasTyping: true,
    textUnitsMax: 2_000, kinds: [.text, .image, .video, .audio, .file], replyWindow: 86_400,
    afterReplyWindow: "tag")

  static let pageField = "pageId"

  let credentials = MetaWebhook.credentials(
    account: CredentialField(
      pageField, "The id of the Facebook page.", isSecret: false, isRequired: false, isGenerated: false))
  let accountField: String? = pageField
  let appCredentials = MetaWebhook.appCredentials
  let methods = MetaWebhook.methods
  let refusal: WebhookAnswer? = MetaWebhook.refusal

  func fault(in secrets: AccountSecrets) -> String? {
    MetaWebhook.fault(in: secrets, accountField: Self.pageField)
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    MetaWebhook.generated(for: secrets, random: random)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    MetaWebhook.receive(request, context)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    try MessengerEvent.read(delivery, platform: "messenger")
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    MetaWebhook.signed(request, secrets: secrets)
  }
}
