import Bytes
import JSON
import Messaging
import Security

/// LinkedIn's webhooks: notifications about an organization's posts
/// (https://learn.microsoft.com/linkedin/shared/api-guide/webhook-validation). Conversations of members are
/// not open to apps.
struct LinkedInPlatform: Platform {
  let name: PlatformName = "linkedin"
  let displayName = "LinkedIn"
  let parserVersion = 2
  let capabilities = ConversationCapabilities()
  let methods = ["GET", "POST"]

  static let secretField = "clientSecret"
  /// Part of what is signed; some senders repeat it in the header.
  private static let scheme = "hmacsha256="
  private static let header = "X-LI-Signature"
  private static let notificationsMax = 1_000
  private static let challengeBytesMax = 256

  let credentials = [
    CredentialField(
      secretField, "The client secret of the LinkedIn app.", isSecret: true, isRequired: true,
      isGenerated: false),
    CredentialField(
      organizationField, "The organization's id or URN; needed to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      tokenField, "An administrator's access token (rw_organization_admin); needed to poll.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      refreshField, "The refresh token, where LinkedIn gives one.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      clientField, "The app's client id; needed with refreshToken.", isSecret: false, isRequired: false,
      isGenerated: false),
    CredentialField(
      versionField, "The version of LinkedIn's API, such as 202609.", isSecret: false, isRequired: false,
      isGenerated: false),
  ]

  private static let plain = HMACSignature(header: header, form: .hex, secretField: secretField)
  private static let prefixed = HMACSignature(
    header: header, prefix: scheme, form: .hex, secretField: secretField)

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.secretField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if request.method == "GET" {
      guard let code = request.parameter("challengeCode"), code.utf8.count <= Self.challengeBytesMax,
        let secret = context.secrets[Self.secretField].first
      else { return .refused(reason: "it is neither a delivery nor a challenge") }
      let response = Self.plain.text(of: Array(code.utf8), secret)
      return .answer(.json(["challengeCode": .string(code), "challengeResponse": .string(response)]))
    }
    let isPrefixed = request.header(Self.header)?.hasPrefix(Self.scheme) ?? false
    let signature = isPrefixed ? Self.prefixed : Self.plain
    if let reason = signature.refusal(of: request, context, content: Self.content(request)) {
      return .refused(reason: reason)
    }
    return .accepted(.ok)
  }

  private static func content(_ request: WebhookRequest) -> [UInt8] { Array(scheme.utf8) + request.body }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let type = try body.text("type") ?? "notification"
    var result = Normalised()
    guard let list = try body.objects("notifications", max: Self.notificationsMax) else {
      result.add([
        .message(
          Update.message(
            type, isKnown: false,
            id: Update.id(type, of: body.members),
            conversation: Update.channel("LinkedIn"), sender: Person(id: "linkedin", name: "LinkedIn"),
            members: body.members, at: delivery.receivedAt))
      ])
      return result
    }
    for notification in list {
      do throws(NormaliseError) {
        result.add([.message(try Self.message(notification, type, delivery.receivedAt))])
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }

  private static func message(
    _ notification: JSONReader, _ type: String, _ receivedAt: Timestamp
  ) throws(NormaliseError) -> InboundMessage {
    let id = try notification.requiredID("notificationId")
    let action = try notification.text("action") ?? type
    let entity = try notification.id("organizationalEntity")
    let at = try notification.integer("lastModifiedAt").map { Timestamp(milliseconds: $0).clamped }
    let isKnown = type == "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
    let (owner, words) = said(notification)
    var message = Update.message(
      action, isKnown: isKnown, id: id,
      conversation: entity.map { ConversationRef(externalID: $0, kind: .channel) }
        ?? Update.channel("LinkedIn"),
      sender: Person(id: owner ?? entity ?? "linkedin"), members: notification.members, at: at ?? receivedAt)
    if isKnown, let words { message.text = MessageText.sanitised(words) }
    return message
  }

  /// Who wrote a comment or shared a post, and the words, where LinkedIn says them.
  private static func said(_ notification: JSONReader) -> (owner: String?, words: String?) {
    let activity = notification["decoratedGeneratedActivity"]
    guard let made = activity?["comment"] ?? activity?["share"] else { return (nil, nil) }
    let words = made["text"]?.string ?? made["message"]?["text"]?.string
    return (MessageText.name(made["owner"]?.string), words.flatMap { $0.isEmpty ? nil : $0 })
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.plain.sign(request, secrets: secrets, content: Self.content(request))
  }
}
