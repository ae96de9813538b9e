import Bytes
import JSON
import Messaging
import Security

/// Zalo official accounts (https://developers.zalo.me/docs/official-account/webhook).
///
/// What signs is a plain hash with the account's secret behind the body. A request carries one event.
struct ZaloPlatform: Platform {
  let name: PlatformName = "zalo"
  let displayName = "Zalo"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, hasReceipts: true, textUnitsMax: 2_000,
    kinds: [.text, .image, .file, .sticker], replyWindow: 604_800)

  private static let appField = ZaloAPI.appField
  private static let secretField = "oaSecret"
  private static let header = "X-ZEvent-Signature"
  private static let scheme = "mac="

  let credentials =
    [
      CredentialField(
        appField, "The app's id.", isSecret: false, isRequired: true, isGenerated: false),
      CredentialField(
        secretField, "The official account's secret key, from the app's webhook settings.", isSecret: true,
        isRequired: true, isGenerated: false),
    ] + ZaloAPI.credentials

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.appField, in: secrets) ?? RequiredSecret.fault(Self.secretField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let header = request.header(Self.header) else {
      return .refused(reason: "the header \(Self.header) is missing")
    }
    let code = header.hasPrefix(Self.scheme) ? header.dropFirst(Self.scheme.count) : header[...]
    guard let given = Hex.decode(code), let stamp = Self.timestamp(request.body) else {
      return .refused(reason: "the header \(Self.header) is not hexadecimal digits, or the body has no time")
    }
    var isGood = false
    for app in context.secrets[Self.appField] {
      let matches = context.secrets.anyMatches(Self.secretField) { secret in
        constantTimeEquals(given, Self.code(app, request.body, stamp, secret))
      }
      if matches { isGood = true }
    }
    return isGood ? .accepted(.ok) : .refused(reason: "the signature is wrong")
  }

  /// The one member that is read before the signature is checked: it is part of what is signed.
  private static func timestamp(_ body: [UInt8]) -> String? {
    (try? JSONReader(body: body))?["timestamp"]?.identifier
  }

  private static func code(_ app: String, _ body: [UInt8], _ stamp: String, _ secret: String) -> [UInt8] {
    Digest.sha256(Array(app.utf8) + body + Array((stamp + secret).utf8))
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let event = try ZaloEvent(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try event.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let app = secrets[Self.appField].first, let secret = secrets[Self.secretField].first,
      let stamp = Self.timestamp(request.body)
    else { return nil }
    let code = Hex.encode(Self.code(app, request.body, stamp, secret))
    return request.adding(WebhookHeader(Self.header, Self.scheme + code))
  }
}
