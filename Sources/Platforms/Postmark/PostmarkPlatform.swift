import Bytes
import JSON
import Messaging
import Security

/// Postmark: inbound mail, and webhooks about mail that was sent
/// (https://postmarkapp.com/developer/webhooks/webhooks-overview).
///
/// Nothing is signed: the webhook URL has a password or a token. How requests are read stands in
/// `PostmarkMail` and `PostmarkEvent`.
struct PostmarkPlatform: Platform {
  let name: PlatformName = "postmark"
  let displayName = "Postmark"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, hasReceipts: true,
    kinds: [.text, .image, .video, .audio, .file])

  let credentials =
    WebhookPassword.credentials + [
      EmailAccount.addressCredential,
      CredentialField(
        "serverToken", "The server's API token; needed to send.", isSecret: true, isRequired: false,
        isGenerated: false),
    ]

  func fault(in secrets: AccountSecrets) -> String? {
    guard WebhookPassword.isSet(in: secrets) else {
      return "\(WebhookPassword.tokenField) or \(WebhookPassword.passwordField) is missing"
    }
    return WebhookPassword.fault(in: secrets)
  }

  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] {
    WebhookPassword.generated(for: secrets, random: random)
  }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    WebhookPassword.refusal(of: request, context).map { .refused(reason: $0) } ?? .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    if let type = try body.text("RecordType"), type != "Inbound" {
      return Normalised(items: [try PostmarkEvent(body, receivedAt: delivery.receivedAt).item(type)])
    }
    return Normalised(items: try PostmarkMail(body, delivery).items())
  }

  func file(_ externalID: String, in delivery: WebhookDelivery) -> [UInt8]? {
    (try? JSONReader(body: delivery.body)).flatMap { PostmarkMail.file(externalID, in: $0) }
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    WebhookPassword.sign(request, secrets: secrets)
  }
}
