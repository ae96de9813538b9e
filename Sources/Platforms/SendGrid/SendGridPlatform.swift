import Bytes
import JSON
import Messaging
import Security

/// Twilio SendGrid: mail that comes in by Inbound Parse, and the Event Webhook about mail that was sent
/// (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events, Event Webhook security features).
///
/// What is signed is signed by a key of SendGrid's for each webhook; Inbound Parse without a security policy
/// signs nothing, and its URL has a password or a token. How requests are read stands in `SendGridMail` and
/// `SendGridEvent`.
struct SendGridPlatform: Platform {
  let name: PlatformName = "sendgrid"
  let displayName = "SendGrid"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, hasReceipts: true,
    kinds: [.text, .image, .video, .audio, .file])

  private static let keyField = "publicKey"
  private static let testKeyField = "testKey"
  private static let signatureHeader = "X-Twilio-Email-Event-Webhook-Signature"
  private static let timeHeader = "X-Twilio-Email-Event-Webhook-Timestamp"

  let credentials =
    [
      CredentialField(
        keyField,
        "The verification key of a signed webhook, base64; that of the events and that of the security "
          + "policy as a list.", isSecret: false, isRequired: false, isGenerated: false)
    ] + WebhookPassword.credentials + [
      EmailAccount.addressCredential,
      CredentialField(
        "apiKey", "An API key; needed to send.", isSecret: true, isRequired: false, isGenerated: false),
      CredentialField(
        testKeyField,
        "Only for simulations: a private P-256 key in PEM; what it signs is taken too. Leave it unset in "
          + "production.", isSecret: true, isRequired: false, isGenerated: false),
    ]

  func fault(in secrets: AccountSecrets) -> String? {
    let keys = secrets[Self.keyField]
    let tests = secrets[Self.testKeyField]
    guard !keys.isEmpty || !tests.isEmpty || WebhookPassword.isSet(in: secrets) else {
      return "\(Self.keyField), \(WebhookPassword.tokenField) or \(WebhookPassword.passwordField) is missing"
    }
    guard keys.allSatisfy({ Self.publicKey($0) != nil }) else {
      return "\(Self.keyField) must be a P-256 public key, base64 of its DER form"
    }
    guard tests.allSatisfy({ ECDSA.PrivateKey(pem: $0) != nil }) else {
      return "\(Self.testKeyField) must be a private P-256 key in PEM"
    }
    return WebhookPassword.fault(in: secrets)
  }

  /// A token unless something else is given.
  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    guard secrets[Self.keyField].isEmpty, secrets[Self.testKeyField].isEmpty else { return [:] }
    return WebhookPassword.generated(for: secrets, random: random)
  }

  private static func publicKey(_ text: String) -> ECDSA.PublicKey? {
    Base64.decode(text).flatMap { ECDSA.PublicKey(der: $0) }
  }

  // MARK: Verifying

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    let isSigned = request.headers.contains {
      let name = $0.name.lowercased()
      return name == Self.signatureHeader.lowercased() || name == Self.timeHeader.lowercased()
    }
    let reason =
      isSigned ? Self.refusal(of: request, context) : WebhookPassword.refusal(of: request, context)
    return reason.map { .refused(reason: $0) } ?? .accepted(.ok)
  }

  /// The time is signed, but how long SendGrid goes on with one signature is not documented: any is taken.
  private static func refusal(of request: WebhookRequest, _ context: WebhookContext) -> String? {
    guard let header = request.header(signatureHeader), let time = request.header(timeHeader), !time.isEmpty
    else { return "\(signatureHeader) or \(timeHeader) is missing" }
    guard let signature = Base64.decode(header) else { return "the header \(signatureHeader) is not base64" }
    let signed = Array(time.utf8) + request.body
    // Public keys are no secret; nothing is learned from the time this takes.
    let isGood =
      context.secrets[keyField].contains { publicKey($0)?.verifies(signature, of: signed) ?? false }
      || context.secrets[testKeyField].contains {
        ECDSA.PrivateKey(pem: $0)?.verifies(signature, of: signed) ?? false
      }
    return isGood ? nil : "the signature is wrong"
  }

  // MARK: Reading

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let type = delivery.headers["content-type"]
    if EmailAccount.isJSON(type) { return try SendGridEvent.read(delivery) }
    return Normalised(items: try SendGridMail(EmailForm(delivery.body, contentType: type), delivery).items())
  }

  func file(_ externalID: String, in delivery: WebhookDelivery) -> [UInt8]? {
    let form = try? EmailForm(delivery.body, contentType: delivery.headers["content-type"])
    return form?.bytes(of: externalID, message: SendGridMail.rawField)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let key = secrets[Self.testKeyField].first.flatMap({ ECDSA.PrivateKey(pem: $0) }) else {
      return WebhookPassword.sign(request, secrets: secrets)
    }
    let time = "\(now.seconds)"
    let signature = key.sign(Array(time.utf8) + request.body)
    return request.adding(
      WebhookHeader(Self.signatureHeader, Base64.encode(signature)), WebhookHeader(Self.timeHeader, time))
  }
}
