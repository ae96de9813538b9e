import Bytes
import Messaging
import Security

/// The Telegram Bot API, webhook side (https://core.telegram.org/bots/api#update).
///
/// A request carries one Update and a secret token in a header; the body is not signed. How each kind
/// is read stands in `TelegramUpdate`; set-up and limits in Webhooks/telegram/README.md.
struct TelegramPlatform: Platform {
  let name: PlatformName = "telegram"
  let displayName = "Telegram"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, reactionsMax: 1, canEdit: true, canDelete: true, canAttach: true,
    canQuote: true, canMarkRead: true,
    textUnitsMax: 4_096, kinds: [.text, .image, .video, .audio, .file, .sticker, .location, .contact, .poll],
    deleteAgeMax: 172_800)

  static let secretField = "webhookSecret"
  static let secretHeader = "X-Telegram-Bot-Api-Secret-Token"

  let credentials = [
    CredentialField(
      secretField, "The secret_token given to setWebhook: 1 to 256 letters, digits, _ and -.",
      isSecret: true, isRequired: true, isGenerated: true),
    CredentialField(
      "botToken", "The token from @BotFather; needed to send.", isSecret: true, isRequired: false,
      isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.secretField]
    guard !values.isEmpty else { return "\(Self.secretField) is missing" }
    return values.allSatisfy(Self.isSecret)
      ? nil : "\(Self.secretField) must be 1 to 256 letters, digits, _ and -"
  }

  private static func isSecret(_ text: String) -> Bool {
    (1...256).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
          || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
      }
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[Self.secretField].isEmpty ? [Self.secretField: Base64.encode(random(32), .url)] : [:]
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let token = request.header(Self.secretHeader) else {
      return .refused(reason: "the header \(Self.secretHeader) is missing")
    }
    guard context.secrets.contains(token, in: Self.secretField) else {
      return .refused(reason: "the secret token is wrong")
    }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let update = try TelegramUpdate(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try update.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.secretField].first.map { request.adding(WebhookHeader(Self.secretHeader, $0)) }
  }
}
