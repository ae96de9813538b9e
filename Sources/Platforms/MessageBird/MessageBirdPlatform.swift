import Bytes
import HTTPWire
import JSON
import Messaging
import Security

/// MessageBird's Conversations (https://developers.messagebird.com/api/conversations/#webhooks), with a token
/// over URL and body, or the older signature.
struct MessageBirdPlatform: Platform {
  let name: PlatformName = "messagebird"
  let displayName = "MessageBird"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, hasReceipts: true, textUnitsMax: 1_600,
    kinds: [.text, .image, .video, .audio, .file, .location])

  private static let keyField = "signingKey"
  private static let tokenHeader = "MessageBird-Signature-JWT"
  private static let signatureHeader = "MessageBird-Signature"
  private static let timeHeader = "MessageBird-Request-Timestamp"
  private static let urlHash = "url_hash"
  private static let windowSeconds: Int64 = 300
  private static let simulatedSeconds: Int64 = 60
  private static let token = SharedSecretToken(issuer: "MessageBird", secretField: keyField, windowSeconds: 1)

  let credentials = [
    CredentialField(
      keyField, "The signing key, from the dashboard's developer settings; not the API key.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      "accessKey", "The API key; needed to send.", isSecret: true, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.keyField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let header = request.header(Self.tokenHeader) {
      switch Self.token.check(header, request, context) {
      case .success(let token):
        let hash = token.claims[Self.urlHash]?.string.flatMap { Hex.decode($0) } ?? []
        let isHere = constantTimeEquals(hash, Digest.sha256(Array(request.fullURL.utf8)))
        return isHere ? .accepted(.ok) : .refused(reason: "the token is for another URL")
      case .failure(let refusal): return .refused(reason: refusal.reason)
      }
    }
    guard let stamp = request.header(Self.timeHeader), let seconds = Int64(stamp),
      context.now.seconds.subtractingReportingOverflow(seconds).partialValue.magnitude <= Self.windowSeconds
    else {
      return .refused(reason: "there is no token, and no time of a signature, or it is from another time")
    }
    guard let content = Self.content(request, stamp) else {
      return .refused(reason: "the query cannot be read")
    }
    let signature = HMACSignature(header: Self.signatureHeader, form: .base64, secretField: Self.keyField)
    if let reason = signature.refusal(of: request, context, content: content) {
      return .refused(reason: reason)
    }
    return .accepted(.ok)
  }

  /// Time, query by name, hash of the body, a line each.
  private static func content(_ request: WebhookRequest, _ stamp: String) -> [UInt8]? {
    guard let query = try? URLQuery(request.query) else { return nil }
    let sorted = URLQuery(query.items.sorted { $0.name < $1.name }).encoded
    return Array("\(stamp)\n\(sorted)\n".utf8) + Digest.sha256(request.body)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let event = try BirdEvent(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try event.conversations())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    let claims: [String: JSONValue] = [
      "nbf": .integer(now.seconds), "exp": .integer(now.seconds + Self.simulatedSeconds), "jti": .string(id),
      Self.urlHash: .string(Hex.encode(Digest.sha256(Array(request.fullURL.utf8)))),
    ]
    return Self.token.token(request, claims, secrets: secrets).map {
      request.adding(WebhookHeader(Self.tokenHeader, $0))
    }
  }
}
