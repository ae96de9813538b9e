import Bytes
import JSON
import Messaging

/// Conversations of a Bluesky account (https://docs.bsky.app/docs/api/chat-bsky-convo-get-log). There are no
/// webhooks: the log of its conversations is polled. How its entries are read stands in `BlueskyLog`.
struct BlueskyPlatform: Platform {
  let name: PlatformName = "bluesky"
  let displayName = "Bluesky"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canQuote: true, textUnitsMax: 10_000, kinds: [.text])
  let hasWebhook = false

  let credentials = [
    CredentialField(
      BlueskyAPI.identifierField, "The account's handle or DID.", isSecret: false, isRequired: true,
      isGenerated: false),
    CredentialField(
      BlueskyAPI.passwordField, "An app password that may read direct messages.", isSecret: true,
      isRequired: true, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(BlueskyAPI.identifierField, in: secrets)
      ?? RequiredSecret.fault(BlueskyAPI.passwordField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    PolledOnly.verdict
  }

  /// Reads a page of the log, `{"did", "logs"}`.
  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let log = BlueskyLog(own: try body.text("did"), receivedAt: delivery.receivedAt)
    var content = Normalised()
    let entries = try body.required("logs", body.objects("logs"))
    for entry in entries { content.read { () throws(NormaliseError) in try log.items(entry) } }
    return content
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? { nil }
}
