import Bytes
import Messaging

/// Instagram messaging, for professional accounts
/// (https://developers.facebook.com/docs/messenger-platform/instagram/features/webhook).
///
/// The events are Messenger's, with differences that `MessengerEvent` knows.
struct InstagramPlatform: Platform {
  let name: PlatformName = "instagram"
  let displayName = "Instagram"
  let parserVersion = 3
  /// Instagram counts 1,000 bytes of UTF-8: text of another script than Latin may be refused before.
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, reactionsMax: 1, canAttach: true, canQuote: true, hasReceipts: true,
    canMarkRead: true,
    hasTyping: true,
    textUnitsMax: 1_000, kinds: [.text, .image, .video, .audio, .file], replyWindow: 86_400,
    afterReplyWindow: "tag")

  static let accountIDField = "instagramAccountId"

  let credentials = MetaWebhook.credentials(
    account: CredentialField(
      accountIDField, "The id of the Instagram professional account.", isSecret: false, isRequired: false,
      isGenerated: false))
  let accountField: String? = accountIDField
  let appCredentials = MetaWebhook.appCredentials
  let methods = MetaWebhook.methods
  let refusal: WebhookAnswer? = MetaWebhook.refusal

  func fault(in secrets: AccountSecrets) -> String? {
    MetaWebhook.fault(in: secrets, accountField: Self.accountIDField)
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    MetaWebhook.generated(for: secrets, random: random)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    MetaWebhook.receive(request, context)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    try MessengerEvent.read(delivery, platform: "instagram")
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    MetaWebhook.signed(request, secrets: secrets)
  }
}
