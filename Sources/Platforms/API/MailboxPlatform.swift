package import Bytes
import JSON
package import MailWire

/// A platform that is a mailbox: read over IMAP and answered over SMTP. Each mail that is fetched is read by
/// `normalise`, as a delivery that `FetchedDelivery` makes.
package protocol MailboxPlatform: PolledPlatform, SendingPlatform {
  /// Where the mailbox is and how it is opened; nil: the credentials are not enough.
  /// - Parameter token: a fresh access token of the platform's token source, in place of a password.
  func mailbox(_ secrets: AccountSecrets, token: String?) -> MailboxAccess?
}

/// The servers and folders of a mailbox, and who logs in.
package struct MailboxAccess: Sendable {
  package struct Server: Sendable, Equatable {
    package var host: String
    package var port: UInt16
    package var security: MailSecurity
  }

  /// What a folder holds.
  package enum Role: String, Sendable, CaseIterable {
    case inbox
    /// What the account itself wrote.
    case sent
  }

  package struct Folder: Sendable, Equatable {
    package var role: Role
    package var name: String
  }

  package var incoming: Server
  /// nil: the account only reads.
  package var outgoing: Server?
  package var credentials: MailCredentials
  /// The login has an access token, which can be had anew.
  package var hasToken: Bool
  package var inbox: String
  package var sent: String?
  /// Whether what is sent is put into `sent`; otherwise the server does that by itself.
  package var savesSent: Bool

  /// The inbox last: it is the one in which news are waited for.
  package var folders: [Folder] {
    (sent.map { [Folder(role: .sent, name: $0)] } ?? []) + [Folder(role: .inbox, name: inbox)]
  }
}

/// A mail of a mailbox in the form of a delivery: its bytes are the body, what the mailbox says of it stands
/// in the headers.
package struct FetchedDelivery: Sendable, Equatable {
  private static let folderHeader = "hub-mail-folder"
  private static let uidHeader = "hub-mail-uid"
  private static let dateHeader = "hub-mail-date"
  private static let sizeHeader = "hub-mail-size"

  static let headerNames: Set<String> = [folderHeader, uidHeader, dateHeader, sizeHeader]

  /// A message, or the header of one that is too large; empty when the server does not give it out.
  package var bytes: [UInt8]
  package var role: MailboxAccess.Role
  package var uid: UInt32
  /// When the mailbox got it.
  package var date: Timestamp?
  /// The size of a mail of which only the header is there.
  package var fullSize: UInt64?

  package init(
    bytes: [UInt8], role: MailboxAccess.Role, uid: UInt32, date: Timestamp?, fullSize: UInt64? = nil
  ) {
    self.bytes = bytes
    self.role = role
    self.uid = uid
    self.date = date
    self.fullSize = fullSize
  }

  init(_ delivery: WebhookDelivery) {
    let headers = delivery.headers
    self.init(
      bytes: delivery.body, role: headers[Self.folderHeader].flatMap { .init(rawValue: $0) } ?? .inbox,
      uid: headers[Self.uidHeader].flatMap { UInt32($0) } ?? 0,
      date: headers[Self.dateHeader].flatMap { Timestamp(rfc3339: $0) },
      fullSize: headers[Self.sizeHeader].flatMap { UInt64($0) })
  }

  package var headers: KeptHeaders {
    var fields = [
      WebhookHeader("content-type", "message/rfc822"), WebhookHeader(Self.folderHeader, role.rawValue),
      WebhookHeader(Self.uidHeader, "\(uid)"),
    ]
    if let date { fields.append(WebhookHeader(Self.dateHeader, date.rfc3339)) }
    if let fullSize { fields.append(WebhookHeader(Self.sizeHeader, "\(fullSize)")) }
    return KeptHeaders(fields)
  }

  package func delivery(receivedAt: Timestamp, secrets: AccountSecrets) -> WebhookDelivery {
    WebhookDelivery(body: bytes, headers: headers, receivedAt: receivedAt, secrets: secrets)
  }
}
