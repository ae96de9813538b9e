import Bytes
import JSON
import Messaging
import MIME

/// A mailbox, read over IMAP and answered over SMTP. There are no webhooks.
///
/// What a mail means is the same as with the providers of mail: see `EmailItems`. A mail is known by its
/// `Message-ID`, so one that is read again, or in two folders, is the same message.
struct EmailPlatform: Platform {
  let name: PlatformName = "email"
  let displayName = "E-mail"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(
    canReply: true, canAttach: true, canQuote: true, hasReceipts: true,
    kinds: [.text, .image, .video, .audio, .file])
  let hasWebhook = false
  let keptHeaders = FetchedDelivery.headerNames
  let credentials = EmailMailbox.credentials

  func fault(in secrets: AccountSecrets) -> String? { EmailMailbox(secrets: secrets).fault }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    PolledOnly.verdict
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let fetched = FetchedDelivery(delivery)
    guard !fetched.bytes.isEmpty else { throw .wrongBody(expected: "a mail that the server gives out") }
    var mail = EmailMessage(MIMEEntity(parsing: fetched.bytes))
    guard mail.from != nil || mail.subject != nil else { throw .missing(path: "From") }
    var own = delivery.secrets[EmailAccount.addressField]
    switch fetched.role {
    case .sent: own += [mail.from?.address].compactMap { $0 }
    // The addresses by which the account was reached.
    case .inbox:
      mail.recipients = mail.headers.all("Delivered-To").flatMap { MailAddress.list($0) }.map(\.address)
    }
    let items = EmailItems(mail, own: own, fallbackID: nil, receivedAt: fetched.date ?? delivery.receivedAt)
    return Normalised(items: items.items(details: Self.details(mail, fetched, own: own)))
  }

  private static func details(
    _ mail: EmailMessage, _ fetched: FetchedDelivery, own: [String]
  ) -> [String: JSONValue] {
    var details: [String: JSONValue] = [:]
    details["tooLarge"] = fetched.fullSize.map { .integer(Int64(clamping: $0)) }
    // What the hub itself sent has the key of its job in the id.
    if let from = mail.from?.address.lowercased(), own.contains(where: { $0.lowercased() == from }) {
      details["clientKey"] = EmailReply.key(ofID: EmailThread(mail.headers).message).map { .string($0) }
    }
    return details
  }

  func file(_ externalID: String, in delivery: WebhookDelivery) -> [UInt8]? {
    EmailPart.bytes(of: externalID, inMessage: delivery.body)
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? { nil }
}

extension EmailPlatform: MailboxPlatform {
  /// The account is held for minutes, in which news come at once; between two holds is a moment only.
  var polling: PollingPlan {
    PollingPlan(role: .primary, intervalMin: 1, intervalMax: 5, isLongPoll: true, hasHistory: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { fault(in: secrets) == nil }

  func mailbox(_ secrets: AccountSecrets, token: String?) -> MailboxAccess? {
    EmailMailbox(secrets: secrets).access(token: token)
  }
}

/// OAuth 2.0 with a refresh token (RFC 6749 section 6), for servers that take no passwords.
extension EmailPlatform: TokenPlatform {
  func tokenRequest(_ secrets: AccountSecrets, refresh: String?, now: Timestamp) -> APIRequest? {
    guard let grant = refresh ?? secrets.first(EmailMailbox.refreshField),
      secrets.first(EmailMailbox.refreshField) != nil,
      let url = secrets.first(EmailMailbox.tokenURLField),
      let client = secrets.first(EmailMailbox.clientField)
    else { return nil }
    var form = [
      APIField("grant_type", "refresh_token"), APIField("refresh_token", grant),
      APIField("client_id", client),
    ]
    if let secret = secrets.first(EmailMailbox.clientSecretField) {
      form.append(APIField("client_secret", secret))
    }
    return APIRequest("POST", url, body: .form(form), isRepeatable: true)
  }
}
