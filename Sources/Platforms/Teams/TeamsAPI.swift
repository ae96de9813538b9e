import Bytes
import JSON
import Messaging

/// Calls of the Bot Connector
/// (https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference).
///
/// Where a conversation lives is said by its activities (`serviceUrl`): the token of an activity was for that
/// address, so the bot's own token may go there. Without one the address for the whole public cloud is
/// taken.
enum TeamsAPI {
  static let address = "https://smba.trafficmanager.net/teams"
  static let loginAddress = "https://login.microsoftonline.com"
  static let passwordField = "appPassword"
  static let tenantField = "tenantId"
  static let loginField = "loginURL"
  private static let sharedTenant = "botframework.com"

  static func token(_ secrets: AccountSecrets) -> APIRequest? {
    guard let app = secrets.first(TeamsPlatform.appField), let password = secrets.first(passwordField) else {
      return nil
    }
    let tenant = APIRequest.element(secrets.first(tenantField) ?? sharedTenant)
    var login = secrets.first(loginField) ?? loginAddress
    while login.hasSuffix("/") { login.removeLast() }
    return APIRequest(
      "POST", "\(login)/\(tenant)/oauth2/v2.0/token",
      body: .form([
        APIField("grant_type", "client_credentials"), APIField("client_id", app),
        APIField("client_secret", password), APIField("scope", "https://api.botframework.com/.default"),
      ]), isRepeatable: true)
  }

  /// - Parameter path: behind the conversation.
  static func call(
    _ method: String, _ path: String, _ job: SendJob, thread: String? = nil, body: JSONValue? = nil
  ) -> APIRequest {
    let told = job.lastInboundDetails?["serviceUrl"]?.string.flatMap { $0.hasPrefix("https://") ? $0 : nil }
    let base = job.secrets.apiURL(told.map(trimmed) ?? address)
    let conversation = job.conversation.externalID + (thread.map { ";messageid=\($0)" } ?? "")
    let url = "\(base)/v3/conversations/\(APIRequest.element(conversation))/activities\(path)"
    return APIRequest(method, url, body: body.map { .json($0) } ?? .none).bearer(job.token ?? "")
  }

  private static func trimmed(_ address: String) -> String {
    var address = address
    while address.hasSuffix("/") { address.removeLast() }
    return address
  }

  static func failure(_ answer: APIAnswer, isRepeatable: Bool, now: Timestamp) -> APIFailure {
    let error = answer.json?["error"]
    let reason = error?["message"]?.string ?? error?["code"]?.string
    switch answer.status {
    case 401: return APIFailure(reason ?? "the token is not valid", .renewToken)
    // Somebody else changed the conversation at the same moment: nothing was done.
    case 412: return APIFailure(reason ?? "try again", .later(seconds: 1))
    case 429:
      let wait = RetryAfter.seconds(answer, now: now) ?? 2
      return APIFailure(reason ?? "too many requests", .pauseAccount(seconds: wait))
    default: return APIFailure(answer, reason: reason, isRepeatable: isRepeatable, now: now)
    }
  }
}

extension TeamsPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    TeamsAPI.token(secrets)
  }
}
