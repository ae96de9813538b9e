import Bytes
import HTTPWire
import JSON
import Messaging

/// Calls of Microsoft Graph (https://learn.microsoft.com/graph/api/resources/teams-api-overview), for a user
/// (a refresh token) or for the app alone (its secret), which may read and not write.
enum GraphAPI {
  static let address = "https://graph.microsoft.com"
  static let loginAddress = "https://login.microsoftonline.com"
  static let passwordField = "appPassword"
  static let refreshField = "refreshToken"
  static let loginField = "loginURL"
  private static let sharedTenant = "organizations"
  /// Codes of a place in a list of changes that is not known any more.
  private static let lost: Set<String> = ["syncstatenotfound", "syncstateinvalid", "resyncrequired"]

  static let credentials = [
    CredentialField(
      passwordField, "The client secret of the app; needed to poll, and to send where the app has one.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      refreshField,
      "A refresh token of the user (offline_access, Chat.ReadWrite, ChatMessage.Send); needed to send.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      loginField, "Where tokens are had, when it is not at the usual place.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  static func hasUser(_ secrets: AccountSecrets) -> Bool {
    secrets.first(refreshField) != nil && secrets.first(TeamsGraphPlatform.appField) != nil
  }

  /// The app alone has to be told whose chats.
  static func hasApp(_ secrets: AccountSecrets) -> Bool {
    [
      passwordField, TeamsGraphPlatform.appField, TeamsGraphPlatform.tenantField,
      TeamsGraphPlatform.userField,
    ].allSatisfy { secrets.first($0) != nil }
  }

  static func token(_ secrets: AccountSecrets, refresh: String?) -> APIRequest? {
    guard let app = secrets.first(TeamsGraphPlatform.appField) else { return nil }
    var form = [APIField("client_id", app)]
    if let secret = secrets.first(passwordField) { form.append(APIField("client_secret", secret)) }
    if hasUser(secrets), let grant = refresh ?? secrets.first(refreshField) {
      form += [APIField("grant_type", "refresh_token"), APIField("refresh_token", grant)]
    } else if hasApp(secrets) {
      form.append(APIField("grant_type", "client_credentials"))
    } else {
      return nil
    }
    form.append(APIField("scope", "\(address)/.default"))
    let tenant = APIRequest.element(secrets.first(TeamsGraphPlatform.tenantField) ?? sharedTenant)
    var login = secrets.first(loginField) ?? loginAddress
    while login.hasSuffix("/") { login.removeLast() }
    return APIRequest(
      "POST", "\(login)/\(tenant)/oauth2/v2.0/token", body: .form(form), isRepeatable: true)
  }

  /// - Parameter path: behind `/v1.0/`, encoded.
  static func call(
    _ method: String, _ path: String, _ secrets: AccountSecrets, token: String?,
    query: [(String, String?)] = [], body: APIRequest.Body = .none, timeoutSeconds: Int = 30,
    isRepeatable: Bool? = nil
  ) -> APIRequest {
    APIRequest(
      method, APIRequest.url("\(secrets.apiURL(address))/v1.0/\(path)", query), body: body,
      timeoutSeconds: timeoutSeconds, isRepeatable: isRepeatable
    ).bearer(token ?? "")
  }

  /// The user whose chats they are, as a path.
  static func user(_ secrets: AccountSecrets) -> String {
    guard !hasUser(secrets), let id = secrets.first(TeamsGraphPlatform.userField) else { return "me" }
    return "users/\(APIRequest.element(id))"
  }

  /// A parameter of a link to the next page or to the next changes: of all that it says only the place is
  /// used, and the address stays the hub's.
  static func place(_ name: String, in link: JSONValue?) -> String? {
    guard let text = link?.string, let mark = text.firstIndex(of: "?"),
      let query = try? URLQuery(String(text[text.index(after: mark)...]))
    else { return nil }
    return query.items.first { $0.name.lowercased() == name }?.value
  }

  // MARK: Failures

  static func isLost(_ answer: APIAnswer) -> Bool {
    answer.status == 410
      || (answer.json?["error"]?["code"]?.string).map { lost.contains($0.lowercased()) } ?? false
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let error = answer.json?["error"]
    let reason = error?["message"]?.string ?? error?["code"]?.string
    switch answer.status {
    case 401: return APIFailure(reason ?? "the token is not valid", .renewToken)
    // Somebody else changed the chat at the same moment: nothing was done.
    case 409, 412: return APIFailure(reason ?? "try again", .later(seconds: 1))
    case 429:
      let wait = RetryAfter.seconds(answer, now: now) ?? 10
      return APIFailure(reason ?? "too many requests", .pauseAccount(seconds: wait))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }
}

extension TeamsGraphPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    GraphAPI.token(secrets, refresh: refresh)
  }
}
