import Bytes
import JSON
import Messaging
import Security

/// Chats and channels of Microsoft Teams by change notifications of Microsoft Graph
/// (https://learn.microsoft.com/graph/change-notifications-with-resource-data).
///
/// A request carries a batch. Each notification names its subscription's `clientState`, which is the secret;
/// those with content are encrypted for a key of the account, signed with the content's key, and come with
/// tokens by Microsoft. How they are read stands in `GraphNotification` and `GraphMessage`.
struct TeamsGraphPlatform: Platform {
  let name: PlatformName = "teams-graph"
  let displayName = "Microsoft Teams by Graph"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    canMarkRead: true, kinds: [.text, .image, .video, .audio, .file])
  /// Graph takes 202 for received. Others are told the same: who guesses learns nothing.
  let refusal: WebhookAnswer? = WebhookAnswer(status: 202)

  static let stateField = "clientState"
  static let appField = "appId"
  static let tenantField = "tenantId"
  static let keyField = "privateKey"
  static let userField = "userId"
  /// Microsoft's change tracking, which signs the tokens.
  static let publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"
  static let keysURL = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
  private static let validationField = "validationToken"
  private static let validationBytesMax = 4_096
  private static let stateBytesMax = 128
  private static let leewaySeconds: Int64 = 300
  private static let simulatedSeconds: Int64 = 3_600
  private static let tokensMax = 64
  private static let accepted = WebhookAnswer(status: 202)

  let credentials =
    [
      CredentialField(
        stateField, "The clientState of the subscriptions, at most 128 bytes.", isSecret: true,
        isRequired: true, isGenerated: true),
      CredentialField(
        appField, "The app's id in Entra, a GUID; needed with a privateKey.", isSecret: false,
        isRequired: false, isGenerated: false),
      CredentialField(
        tenantField, "The tenant's id; without it, tokens of any tenant are taken for its own notifications.",
        isSecret: false, isRequired: false, isGenerated: false),
      CredentialField(
        keyField,
        "The private RSA key in PEM of the certificate that subscriptions give as encryptionCertificate.",
        isSecret: true, isRequired: false, isGenerated: false),
      CredentialField(
        userField, "The id of the user whose messages are the account's own.", isSecret: false,
        isRequired: false, isGenerated: false),
      BearerToken.testKey,
    ] + GraphAPI.credentials

  func fault(in secrets: AccountSecrets) -> String? {
    if let fault = RequiredSecret.fault(Self.stateField, in: secrets) { return fault }
    guard secrets[Self.stateField].allSatisfy({ $0.utf8.count <= Self.stateBytesMax }) else {
      return "\(Self.stateField) has more than \(Self.stateBytesMax) bytes"
    }
    let keys = secrets[Self.keyField]
    guard keys.allSatisfy({ RSAOAEP(pem: $0)?.isPrivate == true }) else {
      return "\(Self.keyField) must be a private RSA key of 2048 bits or more, in PEM"
    }
    if !keys.isEmpty, let fault = RequiredSecret.fault(Self.appField, in: secrets) { return fault }
    return BearerToken.fault(in: secrets)
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    secrets[Self.stateField].isEmpty ? [Self.stateField: Base64.encode(random(32), .url)] : [:]
  }

  // MARK: Verifying

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let token = request.parameter(Self.validationField) {
      let isShort = !token.isEmpty && token.utf8.count <= Self.validationBytesMax
      return isShort ? .answer(.text(token)) : .refused(reason: "the validationToken is empty or too long")
    }
    guard let body = try? JSONReader(body: request.body),
      let notifications = try? GraphNotification.all(body, context.secrets)
    else { return .refused(reason: "the body is not a batch of notifications") }
    let own = notifications.filter(\.isOwn)
    guard !own.isEmpty else { return .refused(reason: "no clientState is the account's") }
    let tenants = own.filter(\.isSealed).map(\.tenant)
    if !tenants.isEmpty, let verdict = refusal(of: body, for: tenants, context) { return verdict }
    let seal = GraphSeal(context.secrets)
    // Beside good ones, what is signed wrong stays unread and is told with the delivery.
    guard own.contains(where: { !$0.isForged(seal) }) else {
      return .refused(reason: "the dataSignature of the content is wrong")
    }
    return .accepted(Self.accepted)
  }

  /// Every token must be good, and every tenant with content must have one.
  /// - Returns: nil when they are.
  private func refusal(
    of body: JSONReader, for tenants: [String?], _ context: WebhookContext
  ) -> WebhookVerdict? {
    guard let tokens = body["validationTokens"]?.array, (1...Self.tokensMax).contains(tokens.count) else {
      return .refused(reason: "the validationTokens are missing, or too many")
    }
    var signed: Set<String> = []
    for text in tokens.map({ $0.string ?? "" }) {
      let token: VerifiedToken
      switch BearerToken.check(token: text, context, keysURL: Self.keysURL) {
      case .signed(let good, _): token = good
      case .verdict(let verdict): return verdict
      }
      do throws(JWTError) {
        signed.insert(try tenant(of: token, context))
      } catch {
        return .refused(reason: error.description)
      }
    }
    let areCovered = tenants.allSatisfy { tenant in tenant.map { signed.contains($0) } ?? false }
    return areCovered ? nil : .refused(reason: "no token is for the tenant of a notification")
  }

  /// The tenant that a token speaks for. Its form is either of Entra's two.
  private func tenant(of token: VerifiedToken, _ context: WebhookContext) throws(JWTError) -> String {
    guard let tenant = try token.text("tid") else { throw .claimMissing("tid") }
    let issuers = [
      "https://login.microsoftonline.com/\(tenant)/v2.0", "https://sts.windows.net/\(tenant)/",
    ]
    guard let issuer = try token.text("iss"), issuers.contains(issuer) else { throw .wrongIssuer }
    let known = context.secrets[Self.tenantField]
    guard known.isEmpty || known.contains(tenant) else { throw .wrongIssuer }
    let audience = try token.audience()
    guard audience.count == 1, context.secrets.contains(audience[0], in: Self.appField) else {
      throw .wrongAudience
    }
    let publisher = (newer: try token.text("azp"), older: try token.text("appid"))
    guard publisher.newer ?? publisher.older == Self.publisher else { throw .wrongIssuer }
    try token.checkTimes(
      now: context.now.seconds, expiryLeeway: Self.leewaySeconds, leeway: Self.leewaySeconds)
    return tenant
  }

  // MARK: Reading

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    var result = Normalised()
    let seal = GraphSeal(delivery.secrets)
    for notification in try GraphNotification.all(body, delivery.secrets) {
      do throws(NormaliseError) {
        result.add(try notification.items(seal, delivery))
      } catch {
        result.faults.append(error)
      }
    }
    return result
  }

  /// Gives every notification the account's state and, where content is sealed, tokens by the test key.
  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    guard let state = secrets[Self.stateField].first,
      var members = (try? JSONValue(parsing: request.body))?.object, let batch = members["value"]?.array
    else { return nil }
    var tenants: Set<String> = []
    members["value"] = .array(
      batch.map { entry in
        guard var changed = entry.object else { return entry }
        changed[Self.stateField] = .string(state)
        if changed["encryptedContent"] != nil, let tenant = changed["tenantId"]?.string {
          tenants.insert(tenant)
        }
        return .object(changed)
      })
    if !tenants.isEmpty {
      let tokens = tenants.sorted().compactMap { token($0, secrets, now) }
      guard tokens.count == tenants.count else { return nil }
      members["validationTokens"] = .array(tokens.map { .string($0) })
    }
    var changed = request
    changed.body = JSONValue.object(members).encoded()
    return changed
  }

  private func token(_ tenant: String, _ secrets: AccountSecrets, _ now: Timestamp) -> String? {
    guard let app = secrets[Self.appField].first else { return nil }
    let claims: [String: JSONValue] = [
      "aud": .string(app), "iss": .string("https://login.microsoftonline.com/\(tenant)/v2.0"),
      "tid": .string(tenant), "azp": .string(Self.publisher), "iat": .integer(now.seconds),
      "nbf": .integer(now.seconds), "exp": .integer(now.seconds + Self.simulatedSeconds),
    ]
    return BearerToken.signed(claims, secrets: secrets)
  }
}
