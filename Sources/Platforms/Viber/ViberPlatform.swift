import Bytes
import JSON
import Messaging
import Security

/// Viber bots (https://developers.viber.com/docs/api/rest-bot-api/#callbacks).
///
/// A request carries one event. How each is read stands in `ViberEvent`.
struct ViberPlatform: Platform {
  let name: PlatformName = "viber"
  let displayName = "Viber"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, hasReceipts: true, textUnitsMax: 7_000,
    kinds: [.text, .image, .video, .file, .sticker, .location, .contact])

  private static let tokenField = "authToken"
  private static let header = "X-Viber-Content-Signature"

  let credentials = [
    CredentialField(
      tokenField, "The bot's authentication token; signs what comes and is needed to send.", isSecret: true,
      isRequired: true, isGenerated: false)
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.tokenField]
    return values.isEmpty || values.contains("") ? "\(Self.tokenField) is missing" : nil
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let header = request.header(Self.header) else {
      return .refused(reason: "the header \(Self.header) is missing")
    }
    guard let given = Hex.decode(header) else {
      return .refused(reason: "the header \(Self.header) is not hexadecimal digits")
    }
    let isGood = context.secrets.anyMatches(Self.tokenField) { token in
      constantTimeEquals(given, HMAC.sha256(request.body, key: Array(token.utf8)))
    }
    return isGood ? .accepted(.ok) : .refused(reason: "the signature is wrong")
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let event = try ViberEvent(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try event.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.map { token in
      let code = HMAC.sha256(request.body, key: Array(token.utf8))
      return request.adding(WebhookHeader(Self.header, Hex.encode(code)))
    }
  }
}
