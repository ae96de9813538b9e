import Bytes
import HTTPWire
import JSON
import Messaging
import Security

/// Vonage: the Messages API, signed by a token, and the SMS API, signed by a parameter
/// (https://developer.vonage.com/en/getting-started/concepts/webhooks).
///
/// How each request is read stands in `VonageMessage`.
struct VonagePlatform: Platform {
  let name: PlatformName = "vonage"
  let displayName = "Vonage"
  let parserVersion = 3
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, reactionsMax: 1, canAttach: true, canQuote: true, hasReceipts: true,
    canMarkRead: true,
    textUnitsMax: 4_096,
    kinds: [.text, .image, .video, .audio, .file])
  let methods = ["GET", "POST"]

  private static let secretField = "signatureSecret"
  private static let methodField = "signatureMethod"
  private static let hashMethods: Set<String> = ["md5hash", "md5", "sha1", "sha256", "sha512"]
  /// A token has no end of its own; an SMS says when it was signed.
  private static let windowSeconds: Int64 = 300
  private static let token = SharedSecretToken(
    issuer: "Vonage", secretField: secretField, windowSeconds: windowSeconds)

  let credentials =
    [
      CredentialField(
        secretField, "The account's signature secret, from the dashboard's settings.", isSecret: true,
        isRequired: true, isGenerated: false),
      CredentialField(
        methodField,
        "How SMS are signed, as in the dashboard: md5hash (without it), sha1, sha256 or sha512.",
        isSecret: false, isRequired: false, isGenerated: false),
    ] + VonageAPI.credentials

  func fault(in secrets: AccountSecrets) -> String? {
    if let fault = RequiredSecret.fault(Self.secretField, in: secrets) { return fault }
    guard secrets[Self.methodField].allSatisfy({ Self.hashMethods.contains($0) && $0 != "md5" }) else {
      return "\(Self.methodField) must be md5hash, sha1, sha256 or sha512"
    }
    return VonageAPI.fault(in: secrets)
  }

  // MARK: Verifying

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let header = request.header("Authorization") {
      guard header.hasPrefix("Bearer ") else {
        return .refused(reason: "Authorization is not Bearer and a token")
      }
      switch Self.token.check(header.dropFirst(7), request, context) {
      case .success: return .accepted(.ok)
      case .failure(let refusal): return .refused(reason: refusal.reason)
      }
    }
    guard let reader = try? Self.reader(request.content, Self.contentType(request)),
      let given = reader["sig"]?.string.flatMap({ Hex.decode($0) })
    else { return .refused(reason: "there is neither a token nor a sig") }
    guard let stamp = reader["timestamp"]?.identifier, let seconds = Int64(stamp),
      context.now.seconds.subtractingReportingOverflow(seconds).partialValue.magnitude <= Self.windowSeconds
    else { return .refused(reason: "it has no timestamp, or is from another time") }
    let text = Self.signed(reader)
    let method = context.secrets[Self.methodField].first ?? "md5hash"
    let isGood = context.secrets.anyMatches(Self.secretField) { secret in
      constantTimeEquals(given, Self.code(text, secret, method))
    }
    return isGood ? .accepted(.ok) : .refused(reason: "the sig is wrong")
  }

  private static func contentType(_ request: WebhookRequest) -> String? {
    request.method == "GET" ? "application/x-www-form-urlencoded" : request.header("Content-Type")
  }

  private static func reader(_ body: [UInt8], _ type: String?) throws(NormaliseError) -> JSONReader {
    FormBody.isNamed(by: type) ? try FormBody.reader(body) : try JSONReader(body: body)
  }

  /// All parameters by name, `&name=value`; what would divide them within a value is replaced.
  private static func signed(_ reader: JSONReader) -> String {
    var text = ""
    for name in reader.members.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    where name != "sig" {
      let value = reader[name]?.identifier ?? ""
      text += "&\(name)=" + String(value.map { $0 == "&" || $0 == "=" ? "_" : $0 })
    }
    return text
  }

  private static func code(_ text: String, _ secret: String, _ method: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    let key = Array(secret.utf8)
    switch method {
    case "sha1": return HMAC.sha1(bytes, key: key)
    case "sha256": return HMAC.sha256(bytes, key: key)
    case "sha512": return HMAC.sha512(bytes, key: key)
    default: return Digest.md5(bytes + key)
    }
  }

  // MARK: Reading

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let reader = try Self.reader(delivery.body, delivery.headers["content-type"])
    let message = VonageMessage(reader, receivedAt: delivery.receivedAt)
    return Normalised(items: try reader.has("message_uuid") ? message.items() : message.sms())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let secret = secrets[Self.secretField].first else { return nil }
    guard let reader = try? Self.reader(request.content, Self.contentType(request)) else { return nil }
    guard reader.has("msisdn") || reader.has("messageId") else {
      let claims: [String: JSONValue] = ["iat": .integer(now.seconds), "jti": .string(id)]
      return Self.token.token(request, claims, secrets: secrets).map {
        request.adding(WebhookHeader("Authorization", "Bearer \($0)"))
      }
    }
    var members = reader.members
    members["timestamp"] = .string(String(now.seconds))
    members["sig"] = nil
    let code = Self.code(
      Self.signed(JSONReader(members)), secret, secrets[Self.methodField].first ?? "md5hash")
    members["sig"] = .string(Hex.encode(code))
    var changed = request
    let form = URLQuery(
      members.keys.sorted().map { URLQuery.Item(name: $0, value: members[$0]?.identifier ?? "") })
    if request.method == "GET" {
      changed.query = form.encoded
    } else if FormBody.isNamed(by: request.header("Content-Type")) {
      changed.body = Array(form.encoded.utf8)
    } else {
      changed.body = JSONValue.object(members).encoded()
    }
    return changed
  }
}
