import Bytes
import JSON
import Messaging
import Security

/// The LINE Messaging API (https://developers.line.biz/en/reference/messaging-api/#webhooks).
///
/// A request carries events of one bot, or none when the console checks the URL. How each is read stands
/// in `LINEEvent`.
struct LINEPlatform: Platform {
  let name: PlatformName = "line"
  let displayName = "LINE"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, textUnitsMax: 5_000,
    kinds: [.text, .image, .video, .audio, .sticker, .location])

  private static let secretField = "channelSecret"
  private static let header = "X-Line-Signature"
  private static let eventsMax = 1_000

  let credentials = [
    CredentialField(
      secretField, "The channel secret, from the channel's basic settings.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      "channelAccessToken", "A channel access token; needed to send.", isSecret: true, isRequired: false,
      isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.secretField]
    return values.isEmpty || values.contains("") ? "\(Self.secretField) is missing" : nil
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let header = request.header(Self.header) else {
      return .refused(reason: "the header \(Self.header) is missing")
    }
    guard let given = Base64.decode(header) else {
      return .refused(reason: "the header \(Self.header) is not base64")
    }
    let isGood = context.secrets.anyMatches(Self.secretField) { secret in
      constantTimeEquals(given, HMAC.sha256(request.body, key: Array(secret.utf8)))
    }
    return isGood ? .accepted(.ok) : .refused(reason: "the signature is wrong")
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    var result = Normalised()
    for event in try body.required("events", body.objects("events", max: Self.eventsMax)) {
      do throws(NormaliseError) {
        result.add(try LINEEvent(event, receivedAt: delivery.receivedAt).items())
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.secretField].first.map { secret in
      let code = HMAC.sha256(request.body, key: Array(secret.utf8))
      return request.adding(WebhookHeader(Self.header, Base64.encode(code)))
    }
  }
}
