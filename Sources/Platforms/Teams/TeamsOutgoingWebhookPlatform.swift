import Bytes
import JSON
import Messaging
import Security

/// An outgoing webhook of a team in Microsoft Teams: messages that mention it by name, signed with the
/// secret that Teams showed when it was made
/// (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook).
struct TeamsOutgoingWebhookPlatform: Platform {
  let name: PlatformName = "teams-outgoing-webhook"
  let displayName = "Microsoft Teams outgoing webhook"
  let parserVersion = 1
  /// What answers a message is the answer to its request only.
  let capabilities = ConversationCapabilities()

  static let tokenField = "securityToken"
  static let answerField = "answer"
  private static let scheme = "HMAC "

  let credentials = [
    CredentialField(
      tokenField, "The security token that Teams showed when the webhook was made: base64.", isSecret: true,
      isRequired: true, isGenerated: false),
    CredentialField(
      answerField, "What is said in the channel at once to each message; nothing when it is not given.",
      isSecret: false, isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    let values = secrets[Self.tokenField]
    guard !values.isEmpty else { return "\(Self.tokenField) is missing" }
    return values.allSatisfy { Self.key($0) != nil } ? nil : "\(Self.tokenField) must be base64 of a key"
  }

  /// An empty key would let anybody sign.
  private static func key(_ token: String) -> [UInt8]? {
    Base64.decode(token).flatMap { $0.isEmpty ? nil : $0 }
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    guard let header = request.header("Authorization") else {
      return .refused(reason: "the header Authorization is missing")
    }
    guard header.hasPrefix(Self.scheme), let given = Base64.decode(header.dropFirst(Self.scheme.count)) else {
      return .refused(reason: "the header Authorization is not HMAC and base64")
    }
    let isGood = context.secrets.anyMatches(Self.tokenField) { token in
      Self.key(token).map { constantTimeEquals(given, HMAC.sha256(request.body, key: $0)) } ?? false
    }
    guard isGood else { return .refused(reason: "the signature is wrong") }
    let text = context.secrets[Self.answerField].first ?? ""
    return .accepted(.json(["type": "message", "text": .string(text)]))
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let activity = try TeamsActivity(JSONReader(body: delivery.body), receivedAt: delivery.receivedAt)
    return Normalised(items: try activity.items())
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    secrets[Self.tokenField].first.flatMap { Self.key($0) }.map { key in
      let code = Base64.encode(HMAC.sha256(request.body, key: key))
      return request.adding(WebhookHeader("Authorization", Self.scheme + code))
    }
  }
}
