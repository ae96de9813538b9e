import Bytes
import JSON
import Messaging

/// Private messages of a Reddit user, and answers to what the user wrote
/// (https://www.reddit.com/dev/api/#section_messages). There are no webhooks: the inbox is polled. How its
/// entries are read stands in `RedditThing`.
struct RedditPlatform: Platform {
  let name: PlatformName = "reddit"
  let displayName = "Reddit"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canEdit: true, canDelete: true, canQuote: true, textUnitsMax: 10_000, kinds: [.text])
  let hasWebhook = false

  let credentials = [
    CredentialField(
      RedditAPI.clientField, "The client id of the Reddit app.", isSecret: false, isRequired: true,
      isGenerated: false),
    CredentialField(
      RedditAPI.secretField, "The client secret; installed apps have none.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      RedditAPI.refreshField,
      "A permanent refresh token with the scopes identity, privatemessages, submit, edit.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      RedditAPI.userField, "The user's name.", isSecret: false, isRequired: true, isGenerated: false),
    CredentialField(
      RedditAPI.passwordField, "The user's password; for apps of the type script, without a refresh token.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      RedditAPI.agentField, "The User-Agent, as Reddit asks for it: platform:app:version (by /u/name).",
      isSecret: false, isRequired: false, isGenerated: false),
    CredentialField(
      RedditAPI.loginField, "Where tokens are had, when it is not www.reddit.com.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    if let fault = RequiredSecret.fault(RedditAPI.clientField, in: secrets)
      ?? RequiredSecret.fault(RedditAPI.userField, in: secrets)
    {
      return fault
    }
    let hasGrant = secrets.first(RedditAPI.refreshField) ?? secrets.first(RedditAPI.passwordField)
    return hasGrant == nil ? "\(RedditAPI.refreshField) or \(RedditAPI.passwordField) is missing" : nil
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    PolledOnly.verdict
  }

  /// Reads a listing, as the inbox answers it.
  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let data = try body.requiredObject("data")
    let own = delivery.secrets.first(RedditAPI.userField)
    var content = Normalised()
    let children = try data.required("children", data.objects("children"))
    for child in children {
      content.read { () throws(NormaliseError) in
        try RedditThing(child, own: own, receivedAt: delivery.receivedAt).items()
      }
    }
    return content
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? { nil }
}
