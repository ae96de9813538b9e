import Bytes
import JSON
import Messaging
import Security

/// Mailgun: mail that comes in by a route, and what happened to mail that was sent
/// (https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks).
///
/// What is signed is a time and a token, not the body: a signature that was seen can be used again within
/// the window. How requests are read stands in `MailgunMail` and `MailgunEvent`.
struct MailgunPlatform: Platform {
  let name: PlatformName = "mailgun"
  let displayName = "Mailgun"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, hasReceipts: true,
    kinds: [.text, .image, .video, .audio, .file])

  private static let keyField = "signingKey"
  /// How old a request may be, and how far the clocks apart: what Mailgun's own library takes.
  private static let windowSeconds: Int64 = 900

  let credentials = [
    CredentialField(
      keyField, "The HTTP webhook signing key, from Mailgun's settings.", isSecret: true, isRequired: true,
      isGenerated: false),
    EmailAccount.addressCredential, EmailAccount.nameCredential,
    CredentialField(
      apiKeyField, "An API key; needed to send, and to fetch files of stored mail.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      domainField, "The domain that mail is sent by; that of the address.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.keyField, in: secrets) }

  // MARK: Verifying

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    let marks = Self.marks(request.body, request.header("Content-Type"))
    guard !marks.isEmpty else { return .refused(reason: "the body has no signature") }
    var isStale = false
    for mark in marks where context.secrets.anyMatches(Self.keyField, { mark.isSigned(by: $0) }) {
      let age = context.now.seconds.subtractingReportingOverflow(mark.seconds).partialValue.magnitude
      if age <= UInt64(Self.windowSeconds) { return .accepted(.ok) }
      isStale = true
    }
    return .refused(reason: isStale ? "the request is from another time" : "the signature is wrong")
  }

  /// A time, a token and the code over both.
  private struct Mark {
    let timestamp: String
    let seconds: Int64
    let token: String
    let signature: [UInt8]

    init?(_ fields: JSONReader) {
      guard let timestamp = fields["timestamp"]?.identifier, let seconds = Int64(timestamp),
        let token = fields["token"]?.string, !token.isEmpty,
        let signature = fields["signature"]?.string.flatMap({ Hex.decode($0) })
      else { return nil }
      self.timestamp = timestamp
      self.seconds = seconds
      self.token = token
      self.signature = signature
    }

    func isSigned(by key: String) -> Bool {
      constantTimeEquals(signature, MailgunPlatform.code(timestamp, token, key))
    }
  }

  private static func code(_ timestamp: String, _ token: String, _ key: String) -> [UInt8] {
    HMAC.sha256(Array((timestamp + token).utf8), key: Array(key.utf8))
  }

  /// Events of a subaccount are signed by its key and by that of the account above.
  private static func marks(_ body: [UInt8], _ contentType: String?) -> [Mark] {
    if EmailAccount.isJSON(contentType) {
      let signature = (try? JSONReader(body: body))?["signature"]?.object.map { JSONReader($0) }
      let parent = signature?["parent-signature"]?.object.map { JSONReader($0) }
      return [signature, parent].compactMap { $0.flatMap { Mark($0) } }
    }
    guard let form = try? EmailForm(body, contentType: contentType) else { return [] }
    return [Mark(form.fields)].compactMap { $0 }
  }

  // MARK: Reading

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let type = delivery.headers["content-type"]
    if EmailAccount.isJSON(type) {
      let event = MailgunEvent(try JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
      return Normalised(items: [try event.item()])
    }
    let form = try EmailForm(delivery.body, contentType: type)
    return Normalised(items: try MailgunMail(form, delivery).items())
  }

  func file(_ externalID: String, in delivery: WebhookDelivery) -> [UInt8]? {
    let form = try? EmailForm(delivery.body, contentType: delivery.headers["content-type"])
    return form?.bytes(of: externalID, message: MailgunMail.rawField)
  }

  /// The signature is part of what is sent. The token is the delivery's id.
  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let key = secrets[Self.keyField].first else { return nil }
    let timestamp = "\(now.seconds)"
    let fields = [
      ("timestamp", timestamp), ("token", id), ("signature", Hex.encode(Self.code(timestamp, id, key))),
    ]
    var signed = request
    let type = request.header("Content-Type")
    if EmailAccount.isJSON(type) {
      guard var members = (try? JSONValue(parsing: request.body))?.object else { return nil }
      let texts = fields.map { ($0.0, JSONValue.string($0.1)) }
      members["signature"] = .object(Dictionary(texts, uniquingKeysWith: { $1 }))
      signed.body = JSONValue.object(members).encoded()
      return signed
    }
    guard let body = EmailAccount.adding(fields, to: request.body, contentType: type) else { return nil }
    signed.body = body
    return signed
  }
}
