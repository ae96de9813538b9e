import Bytes
import JSON
import Messaging
import Security

/// A bot in Microsoft Teams: activities of the Bot Framework
/// (https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication).
///
/// A request carries one activity and a token by the Bot Connector, which says for which bot and from which
/// service it is, and does not cover the body. How activities are read stands in `TeamsActivity`.
struct TeamsPlatform: Platform {
  let name: PlatformName = "teams"
  let displayName = "Microsoft Teams"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true, hasReceipts: true,
    hasTyping: true, textUnitsMax: 28_000, kinds: [.text, .image, .video, .audio, .file])

  static let appField = "appId"
  static let issuer = "https://api.botframework.com"
  /// Names the key set in force.
  static let keysURL = "https://login.botframework.com/v1/.well-known/openidconfiguration"
  /// How far the clocks may be apart.
  static let leewaySeconds: Int64 = 300
  private static let simulatedSeconds: Int64 = 3_600

  let credentials = [
    CredentialField(
      appField, "The bot's Microsoft App ID, a GUID.", isSecret: false, isRequired: true, isGenerated: false),
    BearerToken.testKey,
    CredentialField(
      TeamsAPI.passwordField, "The client secret of the app; needed to send.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      TeamsAPI.tenantField, "The tenant of a bot that belongs to one; others need none.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      TeamsAPI.loginField, "Where tokens are had, when it is not Microsoft's public cloud.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.appField]
    guard !values.isEmpty else { return "\(Self.appField) is missing" }
    guard values.allSatisfy({ !$0.isEmpty }) else { return "\(Self.appField) is empty" }
    return BearerToken.fault(in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    let token: VerifiedToken
    let isSimulated: Bool
    switch BearerToken.check(request, context, keysURL: Self.keysURL) {
    case .signed(let signed, let simulated): (token, isSimulated) = (signed, simulated)
    case .verdict(let verdict): return verdict
    }
    do throws(JWTError) {
      guard try token.text("iss") == Self.issuer else { throw .wrongIssuer }
      let audience = try token.audience()
      guard audience.count == 1, context.secrets.contains(audience[0], in: Self.appField) else {
        throw .wrongAudience
      }
      try token.checkTimes(
        now: context.now.seconds, expiryLeeway: Self.leewaySeconds, leeway: Self.leewaySeconds)
    } catch {
      return .refused(reason: error.description)
    }
    guard let activity = try? JSONReader(body: request.body) else {
      return .refused(reason: "the body is not a JSON object")
    }
    guard let service = activity["serviceUrl"]?.string, token.claims["serviceurl"] == .string(service) else {
      return .refused(reason: "the token is for another serviceUrl than the activity's")
    }
    let channel = activity["channelId"]?.string ?? ""
    guard isSimulated || token.key.endorsements.contains(channel) else {
      return .refused(reason: "the token's key is not endorsed for the activity's channel")
    }
    return .accepted(activity["type"]?.string == "invoke" ? .json([:]) : .ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let activity = try TeamsActivity(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try activity.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let app = secrets[Self.appField].first else { return nil }
    let service = (try? JSONValue(parsing: request.body))?["serviceUrl"]
    let claims: [String: JSONValue] = [
      "iss": .string(Self.issuer), "aud": .string(app), "serviceurl": service ?? .null,
      "nbf": .integer(now.seconds), "exp": .integer(now.seconds + Self.simulatedSeconds),
    ]
    return BearerToken.signed(claims, secrets: secrets).map {
      request.adding(WebhookHeader("Authorization", "Bearer \($0)"))
    }
  }
}
