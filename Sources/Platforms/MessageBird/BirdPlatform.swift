import Bytes
import JSON
import Messaging
import Security

/// Bird, MessageBird's successor
/// (https://docs.bird.com/api/notifications-api/api-reference/webhook-subscriptions).
struct BirdPlatform: Platform {
  let name: PlatformName = "bird"
  let displayName = "Bird"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, hasReceipts: true,
    kinds: [.text, .image, .video, .audio, .file])

  private static let keyField = "signingKey"
  private static let timeHeader = "MessageBird-Request-Timestamp"
  private static let windowSeconds: Int64 = 300
  private static let signature = HMACSignature(
    header: "MessageBird-Signature", form: .base64, secretField: keyField)

  let credentials = [
    CredentialField(
      keyField, "The signing key of the webhook subscription.", isSecret: true, isRequired: true,
      isGenerated: false),
    CredentialField(
      BirdAPI.keyField, "An access key; needed to send.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      BirdAPI.workspaceField, "The workspace's id; needed to send.", isSecret: false, isRequired: false,
      isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.keyField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let stamp = request.header(Self.timeHeader), let seconds = Int64(stamp),
      context.now.seconds.subtractingReportingOverflow(seconds).partialValue.magnitude <= Self.windowSeconds
    else { return .refused(reason: "\(Self.timeHeader) is missing, or from another time") }
    if let reason = Self.signature.refusal(of: request, context, content: Self.content(request, stamp)) {
      return .refused(reason: reason)
    }
    return .accepted(.ok)
  }

  /// Time, URL, hash of the body, a line each.
  private static func content(_ request: WebhookRequest, _ stamp: String) -> [UInt8] {
    Array("\(stamp)\n\(request.fullURL)\n".utf8) + Digest.sha256(request.body)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let event = try BirdEvent(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try event.channels())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    let stamp = String(now.seconds)
    return Self.signature.sign(request, secrets: secrets, content: Self.content(request, stamp))?
      .adding(WebhookHeader(Self.timeHeader, stamp))
  }
}
