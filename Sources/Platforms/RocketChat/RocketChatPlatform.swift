import Bytes
import JSON
import Messaging
import Security

/// Rocket.Chat: polled with a user's token, or by outgoing integrations, with a token in the body, and
/// omnichannel webhooks, with a token in a header (https://docs.rocket.chat/docs/integrations,
/// https://docs.rocket.chat/docs/omnichannel-webhooks).
struct RocketChatPlatform: Platform {
  let name: PlatformName = "rocketchat"
  let displayName = "Rocket.Chat"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    canMarkRead: true, kinds: [.text, .image, .video, .audio, .file])

  private static let tokenField = "token"
  private static let livechatField = "livechatToken"
  private static let livechatHeader = "X-RocketChat-Livechat-Token"

  let credentials = [
    CredentialField(
      tokenField, "The token of the outgoing integration.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      livechatField, "The secret token of the omnichannel webhook.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      RocketChatAPI.tokenField, "A user's or bot's access token; needed to send and to poll.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      RocketChatAPI.userField, "The id of that user; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      RocketChatAPI.serverField, "The server's URL; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.tokenField] + secrets[Self.livechatField]
    guard !values.isEmpty || secrets.first(RocketChatAPI.tokenField) != nil else {
      return "\(Self.tokenField), \(Self.livechatField) or \(RocketChatAPI.tokenField) is missing"
    }
    return values.contains("") ? "\(Self.tokenField) or \(Self.livechatField) is empty" : nil
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let token = request.header(Self.livechatHeader) {
      return context.secrets.contains(token, in: Self.livechatField)
        ? .accepted(.ok) : .refused(reason: "the header \(Self.livechatHeader) is wrong")
    }
    guard let token = (try? JSONReader(body: request.body))?["token"]?.string else {
      return .refused(reason: "there is no token, in the body or in \(Self.livechatHeader)")
    }
    return context.secrets.contains(token, in: Self.tokenField)
      ? .accepted(.ok) : .refused(reason: "the token is wrong")
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let isLivechat = body.has("visitor") || (body["type"]?.string?.hasPrefix("Livechat") ?? false)
    let own = delivery.secrets[RocketChatAPI.userField]
    let event = RocketChatEvent(body, own: own, receivedAt: delivery.receivedAt)
    return isLivechat ? try event.livechat() : Normalised(items: try event.integration())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    if let token = secrets[Self.tokenField].first { return BodyToken.put(token, into: request) }
    return secrets[Self.livechatField].first.map { request.adding(WebhookHeader(Self.livechatHeader, $0)) }
  }
}
