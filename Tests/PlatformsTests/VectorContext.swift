import Bytes
import Foundation
import JSON
import Platforms
import Security
import Testing

/// What a vector means in the hub's terms: which platform judges it, by which credentials, when.
enum VectorContext {
  /// Names that the vectors and the catalogue have in common, other than by themselves.
  private static let names = ["standard-webhooks": "custom", "graph": "teams-graph"]

  /// nil: the catalogue does not have it.
  static func platform(_ vector: JSONValue) -> (any Platform)? {
    let name = vector["platform"]?.string ?? ""
    return PlatformCatalogue.named(names[name] ?? name)
  }

  static func request(_ vector: JSONValue) throws -> WebhookRequest {
    let target = try #require(vector["url"]?.string)
    let parts = target.split(separator: "?", maxSplits: 1).map(String.init)
    return WebhookRequest(
      method: try #require(vector["method"]?.string), url: parts[0], subpath: subpath(vector, parts[0]),
      query: parts.count > 1 ? parts[1] : "",
      headers: (vector["headers"]?.object ?? [:]).compactMap { name, value in
        value.string.map { WebhookHeader(name, $0) }
      },
      body: Array((vector["body"]?.string ?? "").utf8))
  }

  /// Some platforms put a path of their own behind the URL.
  private static func subpath(_ vector: JSONValue, _ url: String) -> String {
    guard let range = url.range(of: "/_matrix/") else { return "" }
    return String(url[range.lowerBound...])
  }

  static func context(_ vector: JSONValue, _ platform: any Platform) throws -> WebhookContext {
    var secrets = AccountSecrets()
    for (name, value) in try credentials(vector) { secrets.set(name, [value]) }
    #expect(platform.fault(in: secrets) == nil)
    let now = try #require(vector["now"]?.integer)
    return WebhookContext(
      secrets: secrets, now: Timestamp(seconds: now), keySets: try keySets(vector, platform))
  }

  /// By the vector's platform: how its secret is called here.
  private static func credentials(_ vector: JSONValue) throws -> [String: String] {
    let secret = try #require(vector["secret"])
    let text = secret.string ?? ""
    switch vector["platform"]?.string ?? "" {
    case "telegram": return ["webhookSecret": text]
    case "standard-webhooks": return ["webhookSecret": secret["public_key"]?.string ?? text]
    case "whatsapp", "messenger", "instagram":
      let verify = secret["verify_token"]?.string ?? "unused"
      return ["appSecret": secret.string ?? "unused", "verifyToken": verify]
    case "slack": return ["signingSecret": text]
    case "discord": return ["publicKey": secret["public_key_hex"]?.string ?? ""]
    case "x": return ["consumerSecret": text]
    case "linkedin", "intercom": return ["clientSecret": text]
    case "mastodon": return ["webhookSecret": text]
    case "mailgun": return ["signingKey": text]
    case "sendgrid": return ["publicKey": secret["public_key_base64_spki"]?.string ?? ""]
    case "postmark":
      return ["username": secret["user"]?.string ?? "", "password": secret["password"]?.string ?? ""]
    case "matrix": return ["hsToken": text]
    case "mattermost", "rocketchat", "zulip": return ["token": text]
    case "messagebird", "bird": return ["signingKey": text]
    case "vonage":
      guard let method = secret["method"]?.string else { return ["signatureSecret": text] }
      return ["signatureSecret": secret["signature_secret"]?.string ?? "", "signatureMethod": method]
    case "zalo":
      return ["appId": secret["app_id"]?.string ?? "", "oaSecret": secret["oa_secret"]?.string ?? ""]
    case "wechat":
      var values = ["token": secret["token"]?.string ?? ""]
      values["encodingAESKey"] = secret["encoding_aes_key"]?.string
      values["appId"] = secret["app_id"]?.string
      return values
    case "line": return ["channelSecret": text]
    case "viber": return ["authToken": text]
    case "twilio":
      guard let key = secret["shared_key"]?.string else { return ["authToken": text] }
      return ["sharedKey": key, "sharedKeyId": secret["shared_key_id"]?.string ?? ""]
    case "teams": return ["appId": secret["app_id"]?.string ?? ""]
    case "graph": return graph(secret)
    case "teams-outgoing-webhook": return ["securityToken": text]
    case "google-chat": return ["audience": secret["audience"]?.string ?? ""]
    default: return [:]
    }
  }

  private static func graph(_ secret: JSONValue) -> [String: String] {
    var values = ["clientState": secret["client_state"]?.string ?? ""]
    values["appId"] = secret["app_id"]?.string
    values["tenantId"] = secret["tenant"]?.string
    if let key = secret["encryption_private_key_pkcs8_base64"]?.string {
      values["privateKey"] = "-----BEGIN PRIVATE KEY-----\n\(key)\n-----END PRIVATE KEY-----\n"
    }
    return values
  }

  /// The keys that the vector says the platform publishes, where the hub would fetch them.
  private static func keySets(_ vector: JSONValue, _ platform: any Platform) throws -> [String: [JWTKey]] {
    guard let secret = vector["secret"] else { return [:] }
    if let set = secret["jwks"], platform.name == "teams" {
      let url = "https://login.botframework.com/v1/.well-known/openidconfiguration"
      return [url: try JWTKey.keys(jwks: set.encoded())]
    }
    if let set = secret["jwks"], platform.name == "teams-graph" {
      let url = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
      return [url: try JWTKey.keys(jwks: set.encoded())]
    }
    if let certificates = secret["x509_certs"], let url = secret["certs_url"]?.string {
      return [url: try JWTKey.keys(certificates: certificates.encoded())]
    }
    return [:]
  }
}
