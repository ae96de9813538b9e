import Bytes
import JSON
import Messaging
import Security

/// A Matrix application service (https://spec.matrix.org/latest/application-service-api/), or a user whose
/// rooms are polled.
///
/// The homeserver puts transactions of events behind the account's webhook URL. How each is read stands in
/// `MatrixEvent`.
struct MatrixPlatform: Platform {
  let name: PlatformName = "matrix"
  let displayName = "Matrix"
  let parserVersion = 2
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    hasReceipts: true, canMarkRead: true, hasTyping: true,
    kinds: [.text, .image, .video, .audio, .file, .sticker, .location])
  let methods = ["PUT", "POST", "GET"]
  let refusal: WebhookAnswer? = MatrixPlatform.error("M_FORBIDDEN", "the token is wrong", status: 403)

  static let tokenField = "hsToken"
  static let userField = "userId"
  static let joinField = "joinInvites"
  private static let eventsMax = 10_000

  let credentials = [
    CredentialField(
      tokenField, "hs_token of the registration file: what the homeserver says it is.", isSecret: true,
      isRequired: true, isGenerated: true),
    CredentialField(
      MatrixAPI.serviceTokenField, "as_token of the registration file; needed to send.", isSecret: true,
      isRequired: false,
      isGenerated: true),
    CredentialField(
      userField,
      "The service's own users, such as @hub:example.org, or @hub_* for all that begin so: what they write "
        + "is outbound.", isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      MatrixAPI.homeserverField, "The homeserver's URL; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
    CredentialField(
      MatrixAPI.accessTokenField,
      "A user's access token: the account is that user, and polled, instead of an application service.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      joinField, "true: a polled user joins the rooms that it is invited to.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.tokenField, in: secrets) }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    var made: [String: String] = [:]
    for name in [Self.tokenField, MatrixAPI.serviceTokenField] where secrets[name].isEmpty {
      made[name] = Hex.encode(random(32))
    }
    return made
  }

  private static func error(_ code: String, _ words: String, status: Int) -> WebhookAnswer {
    .json(["errcode": .string(code), "error": .string(words)], status: status)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    let bearer = request.header("Authorization").flatMap { header in
      header.hasPrefix("Bearer ") ? String(header.dropFirst(7)) : nil
    }
    // Servers of before version 1.4 put it into the query.
    let parameter = request.parameter("access_token")
    guard let token = bearer ?? parameter, parameter == nil || bearer == nil || bearer == parameter else {
      return .refused(reason: "the token is missing, or there are two")
    }
    guard context.secrets.contains(token, in: Self.tokenField) else {
      return .refused(reason: "the token is wrong")
    }
    var path = request.subpath[...]
    if path.hasPrefix("/_matrix/app/v1") { path = path.dropFirst(15) }
    let parts = path.split(separator: "/", omittingEmptySubsequences: true)
    func allowed(_ method: String, _ verdict: WebhookVerdict) -> WebhookVerdict {
      request.method == method
        ? verdict : .answer(Self.error("M_UNRECOGNIZED", "the method is not known", status: 405))
    }
    switch (parts.first, parts.count) {
    case ("transactions", 2): return allowed("PUT", .accepted(.json([:])))
    case ("ping", 1): return allowed("POST", .answer(.json([:])))
    case ("users", 2), ("rooms", 2):
      return allowed("GET", .answer(Self.error("M_NOT_FOUND", "there is no such one here", status: 404)))
    default: return .answer(Self.error("M_UNRECOGNIZED", "the path is not known", status: 404))
    }
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let own = delivery.secrets[Self.userField]
    var result = Normalised()
    for name in ["events", "ephemeral", "de.sorunome.msc2409.ephemeral"] {
      for event in try body.objects(name, max: Self.eventsMax) ?? [] {
        do throws(NormaliseError) {
          let read = try MatrixEvent(event, own: own, receivedAt: delivery.receivedAt)
          result.add(try name == "events" ? read.items() : read.ephemeral())
        } catch {
          result.faults.append(error)
        }
      }
    }
    return result
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.map { request.adding(WebhookHeader("Authorization", "Bearer \($0)")) }
  }
}
