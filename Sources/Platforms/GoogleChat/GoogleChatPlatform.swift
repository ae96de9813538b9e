import Bytes
import JSON
import Messaging
import Security

/// An app in Google Chat that is called over HTTP
/// (https://developers.google.com/workspace/chat/verify-requests-from-chat).
///
/// A request carries one event and a token by Google, of one of two kinds that the app's configuration
/// chooses: a JWT of the Chat service account for the project's number, or an ID token for the URL that is
/// called. How events are read stands in `GoogleChatEvent`.
struct GoogleChatPlatform: Platform {
  let name: PlatformName = "google-chat"
  let displayName = "Google Chat"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true, textUnitsMax: 32_000,
    kinds: [.text, .image, .video, .audio, .file])

  static let audienceField = "audience"
  static let accountField = "serviceAccount"
  static let ownField = "appUser"
  static let chatAccount = "chat@system.gserviceaccount.com"
  /// Certificates of the Chat service account.
  static let projectKeysURL =
    "https://www.googleapis.com/service_accounts/v1/metadata/x509/chat@system.gserviceaccount.com"
  /// Certificates of Google's ID tokens.
  static let identityKeysURL = "https://www.googleapis.com/oauth2/v1/certs"
  private static let identityIssuers: Set = ["https://accounts.google.com", "accounts.google.com"]
  /// How far the clocks may be apart. A token is made for each request and lives for an hour.
  private static let leewaySeconds: Int64 = 60
  private static let lifetimeSeconds: Int64 = 3_600

  let credentials = [
    CredentialField(
      audienceField,
      "The app's Authentication Audience: the project number, or the endpoint URL. Without it the "
        + "account's own webhook URL.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      accountField,
      "For apps that are Workspace add-ons: the service account that calls them, "
        + "service-<number>@gcp-sa-gsuiteaddons.iam.gserviceaccount.com.",
      isSecret: false, isRequired: false, isGenerated: false),
    BearerToken.testKey,
    CredentialField(
      GoogleChatAPI.keyField,
      "The key of the app's service account, as the JSON that Google gives; needed to "
        + "send and to poll.", isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      GoogleChatAPI.scopesField,
      "Scopes of its tokens, chat.bot when none are given. With chat.app.messages.readonly or "
        + "chat.messages.readonly, and chat.spaces.readonly, the account is polled too.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      GoogleChatAPI.subjectField, "The user that the service account acts for, where it may.",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      ownField, "The account's own name in Chat, users/<number>: what it writes is outbound.",
      isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    guard secrets[Self.audienceField].allSatisfy({ Self.isProject($0) || $0.hasPrefix("https://") }) else {
      return "\(Self.audienceField) must be a project number or an https URL"
    }
    guard secrets[Self.accountField].allSatisfy({ $0.contains("@") }) else {
      return "\(Self.accountField) must be a service account's email"
    }
    let keys = secrets[GoogleChatAPI.keyField].compactMap { GoogleChatAPI.fault(ofKey: $0) }
    return keys.first ?? BearerToken.fault(in: secrets)
  }

  private static func isProject(_ audience: String) -> Bool {
    !audience.isEmpty && audience.utf8.allSatisfy { (48...57).contains($0) }
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    let given = context.secrets[Self.audienceField]
    let audiences = given.isEmpty ? [request.url] : given
    let projects = audiences.filter { Self.isProject($0) }
    let urls = audiences.filter { !Self.isProject($0) }
    // While an app goes over from one kind to the other, both may come.
    var verdicts: [WebhookVerdict] = []
    if !projects.isEmpty { verdicts.append(project(request, context, projects)) }
    if !urls.isEmpty { verdicts.append(identity(request, context, urls)) }
    func isNeed(_ verdict: WebhookVerdict) -> Bool { if case .needsKeys = verdict { true } else { false } }
    return verdicts.first { $0 == .accepted(.json([:])) } ?? verdicts.first(where: isNeed)
      ?? verdicts.first ?? .refused(reason: "the account has no audience")
  }

  private func project(
    _ request: WebhookRequest, _ context: WebhookContext, _ audiences: [String]
  ) -> WebhookVerdict {
    judged(request, context, Self.projectKeysURL) { token throws(JWTError) in
      guard try token.text("iss") == Self.chatAccount else { throw .wrongIssuer }
      try Self.check(token, audiences, context)
    }
  }

  /// Anybody with an account at Google can have ID tokens made: who it is for and who has it must both be
  /// right.
  private func identity(
    _ request: WebhookRequest, _ context: WebhookContext, _ audiences: [String]
  ) -> WebhookVerdict {
    judged(request, context, Self.identityKeysURL) { token throws(JWTError) in
      guard Self.identityIssuers.contains(try token.text("iss") ?? "") else { throw .wrongIssuer }
      try Self.check(token, audiences, context)
      let accounts = [Self.chatAccount] + context.secrets[Self.accountField]
      guard let email = try token.text("email"), accounts.contains(email) else {
        throw .claimMalformed("email")
      }
      guard token.claims["email_verified"] == true else { throw .claimMalformed("email_verified") }
    }
  }

  private static func check(
    _ token: VerifiedToken, _ audiences: [String], _ context: WebhookContext
  ) throws(JWTError) {
    let audience = try token.audience()
    guard audience.count == 1, audiences.contains(audience[0]) else { throw .wrongAudience }
    try token.checkTimes(now: context.now.seconds, expiryLeeway: 0, leeway: leewaySeconds)
  }

  private func judged(
    _ request: WebhookRequest, _ context: WebhookContext, _ keysURL: String,
    _ demand: (VerifiedToken) throws(JWTError) -> Void
  ) -> WebhookVerdict {
    switch BearerToken.check(request, context, keysURL: keysURL) {
    case .verdict(let verdict): return verdict
    case .signed(let token, _):
      do throws(JWTError) {
        try demand(token)
        return .accepted(.json([:]))
      } catch {
        return .refused(reason: error.description)
      }
    }
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let event = try GoogleChatEvent(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try event.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    let audience = secrets[Self.audienceField].first ?? request.url
    var claims: [String: JSONValue] = [
      "aud": .string(audience), "iat": .integer(now.seconds),
      "exp": .integer(now.seconds + Self.lifetimeSeconds),
    ]
    if Self.isProject(audience) {
      claims["iss"] = .string(Self.chatAccount)
    } else {
      claims["iss"] = "https://accounts.google.com"
      claims["email"] = .string(Self.chatAccount)
      claims["email_verified"] = true
    }
    return BearerToken.signed(claims, secrets: secrets).map {
      request.adding(WebhookHeader("Authorization", "Bearer \($0)"))
    }
  }
}
