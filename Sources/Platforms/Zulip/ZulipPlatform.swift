import Bytes
import JSON
import Messaging
import Security

/// Zulip: polled with a bot's or user's API key, or by outgoing webhooks
/// (https://zulip.com/api/outgoing-webhooks), which tell of messages that mention a bot or are for it alone,
/// with a token in the body.
struct ZulipPlatform: Platform {
  let name: PlatformName = "zulip"
  let displayName = "Zulip"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasTyping: true, textUnitsMax: 10_000, kinds: [.text, .image, .video, .audio, .file])

  private static let tokenField = "token"
  let credentials = [
    CredentialField(
      tokenField, "The bot's webhook token, from its zuliprc or the bots page; needed for webhooks.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      ZulipAPI.keyField, "The bot's or user's API key; needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      ZulipAPI.emailField, "The email of that bot or user; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      ZulipAPI.serverField, "The server's URL; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.tokenField, orPolled: ZulipAPI.keyField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let token = (try? JSONReader(body: request.body))?["token"]?.string else {
      return .refused(reason: "the body is not JSON with a token")
    }
    guard context.secrets.contains(token, in: Self.tokenField) else {
      return .refused(reason: "the token is wrong")
    }
    return .accepted(.json(["response_not_required": true]))
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let message = ZulipMessage(
      message: try body.requiredObject("message"), own: nil, receivedAt: delivery.receivedAt)
    let more = body["trigger"].map { ["trigger": $0] } ?? [:]
    return Normalised(items: [.message(try message.said(text: try body.text("data"), more: more))])
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.flatMap { BodyToken.put($0, into: request) }
  }
}
