import Bytes
import JSON
import Messaging
import Security

/// WeChat official accounts
/// (https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html).
///
/// Requests are XML. In plain mode only token, time and nonce are signed, never the body; in safe mode the
/// body is encrypted and signed with them. An account with an `encodingAESKey` takes safe mode only.
struct WeChatPlatform: Platform {
  let name: PlatformName = "wechat"
  let displayName = "WeChat"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, textUnitsMax: 600, kinds: [.text, .image, .video, .audio],
    replyWindow: 172_800)
  let methods = ["GET", "POST"]

  private static let tokenField = "token"
  private static let keyField = "encodingAESKey"
  private static let appField = "appId"
  /// How old a request may be, and how far the clocks apart: the time is signed.
  private static let windowSeconds: Int64 = 300
  private static let challengeBytesMax = 256

  let credentials = [
    CredentialField(
      tokenField, "The token that is typed in beside the URL.", isSecret: true, isRequired: true,
      isGenerated: true),
    CredentialField(
      keyField,
      "The EncodingAESKey of safe mode: 43 letters and digits. With it, plain requests are refused.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      appField, "The app id, such as wx...; needed with an encodingAESKey.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      "appSecret", "The app secret; needed to send.", isSecret: true, isRequired: false,
      isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    if let fault = RequiredSecret.fault(Self.tokenField, in: secrets) { return fault }
    guard secrets[Self.keyField].allSatisfy({ Self.key($0) != nil }) else {
      return "\(Self.keyField) must be 43 letters and digits"
    }
    let lacksApp = !secrets[Self.keyField].isEmpty && secrets[Self.appField].isEmpty
    return lacksApp ? "\(Self.appField) is missing" : nil
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[Self.tokenField].isEmpty ? [Self.tokenField: Hex.encode(random(12))] : [:]
  }

  /// 43 digits of base64 hold two bits more than a key. WeChat leaves them as they come, so they may be set.
  private static func key(_ text: String) -> [UInt8]? {
    guard text.utf8.count == 43, let bytes = Base64.decode(text + "A") else { return nil }
    return Array(bytes[..<AESCBC.keyBytes])
  }

  // MARK: Verifying

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let stamp = request.parameter("timestamp"), let nonce = request.parameter("nonce") else {
      return .refused(reason: "timestamp or nonce is missing")
    }
    guard let seconds = Int64(stamp),
      context.now.seconds.subtractingReportingOverflow(seconds).partialValue.magnitude <= Self.windowSeconds
    else { return .refused(reason: "the request is from another time") }
    if request.method == "GET" {
      guard Self.isSigned(request, "signature", [stamp, nonce], context) else {
        return .refused(reason: "the signature is wrong")
      }
      guard let echo = request.parameter("echostr"), echo.utf8.count <= Self.challengeBytesMax else {
        return .refused(reason: "it is neither a delivery nor a handshake")
      }
      return .answer(.text(echo))
    }
    guard !context.secrets[Self.keyField].isEmpty else {
      return Self.isSigned(request, "signature", [stamp, nonce], context)
        ? .accepted(.ok) : .refused(reason: "the signature is wrong")
    }
    guard let sealed = (try? XMLFields.read(request.body))?["Encrypt"] else {
      return .refused(reason: "the body is not encrypted")
    }
    guard Self.isSigned(request, "msg_signature", [stamp, nonce, sealed], context) else {
      return .refused(reason: "the signature is wrong")
    }
    guard Self.opened(sealed, context.secrets) != nil else {
      return .refused(reason: "the body does not open with the encodingAESKey, or is for another app")
    }
    return .accepted(.ok)
  }

  private static func isSigned(
    _ request: WebhookRequest, _ parameter: String, _ parts: [String], _ context: WebhookContext
  ) -> Bool {
    guard let given = request.parameter(parameter).flatMap({ Hex.decode($0) }) else { return false }
    return context.secrets.anyMatches(tokenField) { token in
      constantTimeEquals(given, code([token] + parts))
    }
  }

  private static func code(_ parts: [String]) -> [UInt8] {
    let sorted = parts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    return Digest.sha1(Array(sorted.joined().utf8))
  }

  /// 16 random bytes, the length, the XML and the app's id; padded to blocks of 32 after PKCS #7.
  private static func opened(_ sealed: String, _ secrets: AccountSecrets) -> [UInt8]? {
    guard let bytes = Base64.decode(sealed) else { return nil }
    for key in secrets[keyField].compactMap({ key($0) }) {
      guard let plain = AESCBC.open(bytes, key: key, vector: Array(key[..<16])), let last = plain.last,
        (1...32).contains(last), plain.count >= 20 + Int(last),
        plain.suffix(Int(last)).allSatisfy({ $0 == last })
      else { continue }
      let content = plain[16..<(plain.count - Int(last))]
      let length = content.prefix(4).reduce(0) { $0 << 8 | Int($1) }
      guard length <= content.count - 4 else { continue }
      let app = Array(content.dropFirst(4 + length))
      guard secrets[appField].contains(where: { Array($0.utf8) == app }) else { continue }
      return Array(content.dropFirst(4).prefix(length))
    }
    return nil
  }

  // MARK: Reading

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    var fields = try XMLFields.read(delivery.body)
    if let sealed = fields["Encrypt"] {
      guard let plain = Self.opened(sealed, delivery.secrets) else { throw .cannotDecrypt }
      fields = try XMLFields.read(plain)
    }
    let message = WeChatMessage(fields, receivedAt: delivery.receivedAt)
    return Normalised(items: try message.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let token = secrets[Self.tokenField].first else { return nil }
    var request = request
    let stamp = String(now.seconds)
    let nonce = String(Digest.sha1(Array(id.utf8)).prefix(4).reduce(0) { $0 << 8 | Int($1) })
    var query = "signature=\(Hex.encode(Self.code([token, stamp, nonce])))&timestamp=\(stamp)&nonce=\(nonce)"
    if let key = secrets[Self.keyField].first.flatMap({ Self.key($0) }),
      let app = secrets[Self.appField].first
    {
      // A body that is encrypted already stays as it is.
      if let text = (try? XMLFields.read(request.body))?["Encrypt"] {
        query += "&encrypt_type=aes&msg_signature=\(Hex.encode(Self.code([token, stamp, nonce, text])))"
        request.query = request.query.isEmpty ? query : "\(request.query)&\(query)"
        return request
      }
      let length = request.body.count
      var plain = Array(Digest.sha1(Array("\(stamp)\(id)".utf8)).prefix(16))
      plain += (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
      plain += request.body + Array(app.utf8)
      let padding = 32 - plain.count % 32
      plain += [UInt8](repeating: UInt8(padding), count: padding)
      guard let sealed = AESCBC.seal(plain, key: key, vector: Array(key[..<16])) else { return nil }
      let text = Base64.encode(sealed)
      request.body = Array("<xml><Encrypt><![CDATA[\(text)]]></Encrypt></xml>".utf8)
      query += "&encrypt_type=aes&msg_signature=\(Hex.encode(Self.code([token, stamp, nonce, text])))"
    }
    request.query = request.query.isEmpty ? query : "\(request.query)&\(query)"
    return request
  }
}
