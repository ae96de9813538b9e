import Bytes
import JSON
import Messaging
import Security

/// A Slack app: the Events API, interactivity and slash commands (https://docs.slack.dev/apis/events-api).
///
/// Events are JSON, the others forms; all are signed alike. How each is read stands in `SlackEvent` and
/// `SlackInteraction`.
struct SlackPlatform: Platform {
  let name: PlatformName = "slack"
  let displayName = "Slack"
  let parserVersion = 4
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    canMarkRead: true, textUnitsMax: 40_000, kinds: [.text, .image, .video, .audio, .file])

  private static let secretField = "signingSecret"
  static let teamField = "teamId"
  private static let timeHeader = "X-Slack-Request-Timestamp"
  private static let signatureHeader = "X-Slack-Signature"
  private static let scheme = "v0"
  /// How old a request may be, and how far the clocks apart.
  private static let windowSeconds: Int64 = 300

  let credentials = [
    CredentialField(
      secretField,
      "The signing secret, from the app's basic information; not needed where an app of the hub has it.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      teamField, "The workspace's id, such as T0123; finds the account where one URL serves an app.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      SlackAPI.tokenField, "The bot token (xoxb-); needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      SlackAPI.refreshField, "The refresh token (xoxe-), where the app rotates its tokens.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      SlackAPI.clientField, "The app's client id; needed with refreshToken.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      SlackAPI.clientSecretField, "The app's client secret; needed with refreshToken.", isSecret: true,
      isRequired: false, isGenerated: false),
  ]
  let accountField: String? = teamField
  let appCredentials = [secretField]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.secretField, orAccount: Self.teamField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let stamp = request.header(Self.timeHeader), let header = request.header(Self.signatureHeader)
    else { return .refused(reason: "\(Self.timeHeader) or \(Self.signatureHeader) is missing") }
    guard let seconds = Int64(stamp), stamp.utf8.allSatisfy({ (48...57).contains($0) }) else {
      return .refused(reason: "the header \(Self.timeHeader) is not a time in seconds")
    }
    let (age, isFar) = context.now.seconds.subtractingReportingOverflow(seconds)
    guard !isFar, age.magnitude <= Self.windowSeconds else {
      return .refused(reason: "the request is from another time")
    }
    let isGood = context.secrets.anyMatches(Self.secretField) { secret in
      constantTimeEquals(header, Self.signature(request.body, at: stamp, secret: secret))
    }
    guard isGood else { return .refused(reason: "the signature is wrong") }
    if !FormBody.isNamed(by: request.header("Content-Type")),
      let body = try? JSONValue(parsing: request.body), body["type"] == "url_verification"
    {
      return .answer(.text(body["challenge"]?.string ?? ""))
    }
    return .accepted(.ok)
  }

  private static func signature(_ body: [UInt8], at stamp: String, secret: String) -> String {
    let base = Array("\(scheme):\(stamp):".utf8) + body
    return "\(scheme)=" + Hex.encode(HMAC.sha256(base, key: Array(secret.utf8)))
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    guard FormBody.isNamed(by: delivery.headers["content-type"]) else {
      let envelope = try JSONReader(body: delivery.body)
      return try SlackEvent(envelope, receivedAt: delivery.receivedAt).read()
    }
    let form = try FormBody.reader(delivery.body)
    return try SlackInteraction.read(form, receivedAt: delivery.receivedAt)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.secretField].first.map { secret in
      let stamp = String(now.seconds)
      return request.adding(
        WebhookHeader(Self.timeHeader, stamp),
        WebhookHeader(Self.signatureHeader, Self.signature(request.body, at: stamp, secret: secret)))
    }
  }
}
