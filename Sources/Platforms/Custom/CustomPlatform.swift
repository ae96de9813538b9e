import Bytes
import Messaging
import Security

/// Your own source: any system that signs after Standard Webhooks and writes the hub's own JSON.
///
/// The body is documented in Webhooks/custom/README.md and read by `CustomDelivery`.
struct CustomPlatform: Platform {
  let name: PlatformName = "custom"
  let displayName = "Custom"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasReceipts: true, canMarkRead: true, hasTyping: true,
    kinds: [.text, .image, .video, .audio, .file, .sticker, .location, .contact, .poll])

  static let secretField = "webhookSecret"

  let credentials = [
    CredentialField(
      secretField,
      "What deliveries are signed with: whsec_ and base64 of 16 to 256 bytes, or the public key "
        + "(whpk_...) of a source that signs with Ed25519. Several may be valid at once.",
      isSecret: true, isRequired: true, isGenerated: true),
    CredentialField(
      sendURLField, "Where answers go: an http or https address of your system.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.secretField]
    guard !values.isEmpty else { return "\(Self.secretField) is missing" }
    return values.allSatisfy { StandardWebhooks.Secret($0) != nil }
      ? nil : "\(Self.secretField) must be whsec_ and base64 of 16 to 256 bytes, or whpk_ and a public key"
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[Self.secretField].isEmpty ? [Self.secretField: "whsec_" + Base64.encode(random(32))] : [:]
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    // Svix signs the same under its own names.
    let prefix = request.header("webhook-id") == nil && request.header("svix-id") != nil ? "svix" : "webhook"
    let id = request.header("\(prefix)-id")
    do throws(StandardWebhooks.Refusal) {
      try StandardWebhooks.verify(
        id: id, timestamp: request.header("\(prefix)-timestamp"),
        signatures: request.header("\(prefix)-signature"), body: request.body,
        secrets: context.secrets[Self.secretField].compactMap { StandardWebhooks.Secret($0) },
        now: context.now.seconds)
      return .accepted(.ok)
    } catch {
      return .refused(reason: error.description)
    }
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    try CustomDelivery.read(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    let keys = secrets[Self.secretField].compactMap { StandardWebhooks.Secret($0) }
    let entries = keys.compactMap { key in
      StandardWebhooks.sign(id: id, timestamp: now.seconds, body: request.body, secret: key)
    }
    guard !entries.isEmpty else { return nil }
    return request.adding(
      WebhookHeader("webhook-id", id), WebhookHeader("webhook-timestamp", String(now.seconds)),
      WebhookHeader("webhook-signature", entries.joined(separator: " ")))
  }
}
