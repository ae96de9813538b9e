import Bytes
import JSON
import Messaging

/// Mastodon: a user's notifications and conversations, polled, or administrators' webhooks of a server
/// (https://docs.joinmastodon.org/admin/webhooks/): posts, accounts and reports.
struct MastodonPlatform: Platform {
  let name: PlatformName = "mastodon"
  let displayName = "Mastodon"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canReact: true, canEdit: true, canDelete: true, canAttach: true, canQuote: true,
    textUnitsMax: 500, kinds: [.text, .image, .video, .audio])

  private static let secretField = "webhookSecret"
  private static let signature = HMACSignature(
    header: "X-Hub-Signature", prefix: "sha256=", form: .hex, secretField: secretField)
  private static let known: Set<String> = [
    "account.created", "account.approved", "account.updated", "report.created", "report.updated",
  ]

  let credentials = [
    CredentialField(
      secretField, "The signing secret that Mastodon shows for the webhook; needed for webhooks.",
      isSecret: true, isRequired: false, isGenerated: false),
    CredentialField(
      MastodonAPI.tokenField, "A user's access token; needed to send and to poll.", isSecret: true,
      isRequired: false, isGenerated: false),
    CredentialField(
      MastodonAPI.serverField, "The server's URL; needed to send and to poll.", isSecret: false,
      isRequired: false, isGenerated: false),
  ]

  func fault(in secrets: AccountSecrets) -> String? {
    RequiredSecret.fault(Self.secretField, orPolled: MastodonAPI.tokenField, in: secrets)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let event = try body.required("event", body.text("event"))
    let object = try body.object("object") ?? JSONReader([:])
    let at = try MastodonStatus.time(body, "created_at") ?? delivery.receivedAt
    switch event {
    case "status.created": return Normalised(items: [.message(try MastodonStatus(object, at: at).message())])
    case "status.updated": return Normalised(items: [.edit(try MastodonStatus(object, at: at).edit())])
    default:
      let id = try object.id("id") ?? ""
      return Normalised(items: [
        .message(
          Update.message(
            event, isKnown: Self.known.contains(event), id: "\(event):\(id):\(at.microseconds)",
            conversation: Update.channel("Mastodon"), sender: Person(id: "mastodon", name: "Mastodon"),
            members: object.members, at: at))
      ])
    }
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
