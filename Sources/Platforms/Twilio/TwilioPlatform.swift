import Bytes
import HTTPWire
import JSON
import Messaging
import Security

/// Twilio: SMS, MMS and WhatsApp by Programmable Messaging, and Conversations
/// (https://www.twilio.com/docs/usage/webhooks/webhooks-security).
///
/// What is signed begins with the URL as Twilio was given it: `PUBLIC_URL` has to be that. How each request
/// is read stands in `TwilioMessage` and `TwilioConversation`.
struct TwilioPlatform: Platform {
  let name: PlatformName = "twilio"
  let displayName = "Twilio"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, hasReceipts: true, textUnitsMax: 1_600,
    kinds: [.text, .image, .video, .audio, .file])
  let methods = ["GET", "POST"]

  static let tokenField = "authToken"
  private static let keyIDField = "sharedKeyId"
  private static let keyField = "sharedKey"
  private static let identitiesField = "identities"
  private static let header = "X-Twilio-Signature"
  private static let settingsHeader = "X-Twilio-Webhooks-Signature-Settings"

  let credentials = [
    CredentialField(
      tokenField, "The account's primary auth token; signs what comes and is needed to send.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      keyIDField, "The id of a shared webhook key. With one, requests signed otherwise are refused.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      keyField, "The secret of the shared webhook key.", isSecret: true, isRequired: false,
      isGenerated: false),
    CredentialField(
      sidField, "The account's SID (AC...); needed to send.", isSecret: false, isRequired: false,
      isGenerated: false),
    CredentialField(
      fromField, "The number that sends, such as +15550783881; this or a messaging service.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      serviceField, "The SID of the messaging service that sends (MG...).", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      chatField, "The SID of the Conversations service (IS...); needed to send files there.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      identitiesField,
      "Who writes for the account in Conversations: authors with commas, agent-* for all that begin so; "
        + "without it everybody who writes by SDK or API.", isSecret: false, isRequired: false,
      isGenerated: false),
    CredentialField(
      callbackField, "Where statuses are told: the account's webhook URL, unless the service has it.",
      isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let keys = secrets[Self.keyField]
    let tokens = secrets[Self.tokenField]
    guard !(keys.isEmpty && tokens.isEmpty) else {
      return "\(Self.tokenField) or \(Self.keyField) is missing"
    }
    guard !(keys + tokens).contains("") else { return "\(Self.tokenField) or \(Self.keyField) is empty" }
    return !keys.isEmpty && secrets[Self.keyIDField].isEmpty ? "\(Self.keyIDField) is missing" : nil
  }

  // MARK: Verifying

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let header = request.header(Self.header) else {
      return .refused(reason: "the header \(Self.header) is missing")
    }
    guard let given = Base64.decode(header) else {
      return .refused(reason: "the header \(Self.header) is not base64")
    }
    guard let parameters = Self.parameters(request) else {
      return .refused(reason: "the body is not what bodySHA256 says, or no form")
    }
    let isPinned = !context.secrets[Self.keyField].isEmpty
    if isPinned {
      guard let settings = request.header(Self.settingsHeader),
        context.secrets[Self.keyIDField].contains(where: { settings == Self.settings($0) })
      else { return .refused(reason: "it is not signed with the shared key of the account") }
    }
    let bases = Self.urls(request).map { Array($0.utf8) + parameters }
    let isGood = context.secrets.anyMatches(isPinned ? Self.keyField : Self.tokenField) { secret in
      var isGood = false
      for base in bases {
        if constantTimeEquals(given, Self.code(base, secret, isPinned: isPinned)) { isGood = true }
      }
      return isGood
    }
    return isGood ? .accepted(Self.answer(request)) : .refused(reason: "the signature is wrong")
  }

  private static func settings(_ keyID: String) -> String { "key=\(keyID),algorithm=HMAC_SHA256" }

  private static func code(_ base: [UInt8], _ secret: String, isPinned: Bool) -> [UInt8] {
    let key = Array(secret.utf8)
    return isPinned ? HMAC.sha256(base, key: key) : HMAC.sha1(base, key: key)
  }

  /// What follows the URL in the text that is signed. nil: the body is not the one that was signed.
  private static func parameters(_ request: WebhookRequest) -> [UInt8]? {
    if request.method == "GET" { return [] }
    if let sum = request.parameter("bodySHA256") {
      guard let given = Hex.decode(sum), constantTimeEquals(given, Digest.sha256(request.body)) else {
        return nil
      }
      return []
    }
    if request.body.isEmpty { return [] }
    guard FormBody.isNamed(by: request.header("Content-Type")),
      let form = try? URLQuery(bytes: request.body)
    else { return nil }
    var pairs: [(String, Set<String>)] = []
    var places: [String: Int] = [:]
    for item in form.items {
      if let place = places[item.name] {
        pairs[place].1.insert(item.value)
      } else {
        places[item.name] = pairs.count
        pairs.append((item.name, [item.value]))
      }
    }
    var text = ""
    for (name, values) in pairs.sorted(by: { isBefore($0.0, $1.0) }) {
      for value in values.sorted(by: isBefore) { text += name + value }
    }
    return Array(text.utf8)
  }

  private static func isBefore(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
  }

  /// The URL as it is known, and with its scheme's port: Twilio leaves it out or in.
  private static func urls(_ request: WebhookRequest) -> [String] {
    let url = request.fullURL
    for (scheme, port) in [("https://", "443"), ("http://", "80")] where url.hasPrefix(scheme) {
      let rest = url.dropFirst(scheme.count)
      let host = rest.prefix { $0 != "/" && $0 != "?" }
      let path = rest.dropFirst(host.count)
      let name = host.prefix { $0 != ":" }
      return name == host ? [url, "\(scheme)\(host):\(port)\(path)"] : [url, "\(scheme)\(name)\(path)"]
    }
    return [url]
  }

  /// A message is answered with TwiML that says nothing; the rest with nothing.
  private static func answer(_ request: WebhookRequest) -> WebhookAnswer {
    guard let form = try? URLQuery(bytes: request.content), form["SmsStatus"] == "received" else {
      return .ok
    }
    return .xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>")
  }

  // MARK: Reading

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let isForm = FormBody.isNamed(by: delivery.headers["content-type"])
    let reader = isForm ? try FormBody.reader(delivery.body) : try JSONReader(body: delivery.body)
    if reader.has("EventType") {
      let own = delivery.secrets[Self.identitiesField].flatMap { $0.split(separator: ",") }
        .map { String($0.filter { !$0.isWhitespace }) }
      let event = try TwilioConversation(reader, own: own, receivedAt: delivery.receivedAt)
      return Normalised(items: try event.items())
    }
    return Normalised(items: [try TwilioMessage(reader, receivedAt: delivery.receivedAt).item()])
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    let keys = secrets[Self.keyField]
    var request = request
    if request.method != "GET", !FormBody.isNamed(by: request.header("Content-Type")) {
      let sum = "bodySHA256=" + Hex.encode(Digest.sha256(request.body))
      request.query = request.query.isEmpty ? sum : "\(request.query)&\(sum)"
    }
    guard let secret = (keys.isEmpty ? secrets[Self.tokenField] : keys).first,
      let parameters = Self.parameters(request)
    else { return nil }
    let base = Array(request.fullURL.utf8) + parameters
    let code = Base64.encode(Self.code(base, secret, isPinned: !keys.isEmpty))
    let signed = request.adding(WebhookHeader(Self.header, code))
    guard !keys.isEmpty, let id = secrets[Self.keyIDField].first else { return signed }
    return signed.adding(WebhookHeader(Self.settingsHeader, Self.settings(id)))
  }
}
