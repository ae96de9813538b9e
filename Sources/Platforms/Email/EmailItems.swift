import Bytes
import JSON
import MIME
import Messaging
import Security

/// What a mail means in the hub: a message of its thread, the people it went to, and, when it is a report,
/// how far another message got.
struct EmailItems {
  private static let peopleMax = 100
  /// Bytes of the full text and of the HTML that stay with a message; the delivery has all of it.
  private static let fullBytesMax = 64 << 10

  private let mail: EmailMessage
  private let thread: EmailThread
  /// The account's own addresses, in lower case.
  private let own: Set<String>
  private let receivedAt: Timestamp

  /// - Parameters:
  ///   - own: the account's own addresses.
  ///   - fallbackID: the provider's id of the mail, for one that has no `Message-ID`.
  init(
    _ mail: EmailMessage, own: [String], fallbackID: String?, receivedAt: Timestamp
  ) {
    self.mail = mail
    self.own = Set(own.map { $0.lowercased() })
    self.receivedAt = receivedAt
    thread = EmailThread(mail.headers)
    messageID = thread.message ?? EmailThread.bounded(fallbackID ?? Self.digest(mail))
  }

  private let messageID: String

  /// A mail without any id is known by what it says.
  private static func digest(_ mail: EmailMessage) -> String {
    let parts = [mail.from?.address, mail.headers["Date"], mail.subject, mail.text, mail.html]
    let text = parts.map { $0 ?? "" }.joined(separator: "\u{1}")
    return "sha256:" + Hex.encode(Digest.sha256(Array(text.utf8)))
  }

  private var at: Timestamp { (mail.date ?? receivedAt).clamped }

  // MARK: Items

  func items(details more: [String: JSONValue] = [:]) -> [InboundItem] {
    var items: [InboundItem] = []
    let statuses = self.statuses
    let reported = mail.report?.subject
    let isReport = mail.report != nil
    var conversation = ConversationRef(
      externalID: thread.root ?? messageID, kind: .email, title: EmailSubject.base(mail.subject))
    if thread.root != nil, thread.root != messageID, automatic?.hasPrefix("auto") == true {
      // "Automatic reply: ..." is not what the thread is about.
      conversation.title = nil
    }
    if isReport {
      // What is said about a mail stands in that mail's thread, whose subject is another.
      conversation.externalID = reported?.conversation ?? conversation.externalID
      conversation.title = reported == nil ? conversation.title : nil
    }
    items.append(.message(message(conversation, more, isReport: isReport)))
    let others = people
    if !others.isEmpty && !isReport {
      items.append(.membership(MembershipChange(conversation: conversation, joined: others, at: at)))
    }
    return items + statuses
  }

  private var sender: Person {
    let from = mail.from ?? mail.replyTo.first
    return from.map { Self.person($0) } ?? Person(id: "unknown")
  }

  /// Letters of an address count in no mail system that is in use, so one person has one id.
  static func person(_ address: MailAddress) -> Person {
    Person(
      id: MessageText.sanitised(address.address.lowercased(), bytesMax: 512),
      name: MessageText.name(address.name))
  }

  /// Who else the mail went to.
  private var people: [Person] {
    var seen = own.union(mail.recipients.map { $0.lowercased() })
    seen.insert(sender.id)
    return (mail.to + mail.cc).map { Self.person($0) }.filter { seen.insert($0.id).inserted }
      .prefix(Self.peopleMax).map { $0 }
  }

  private func message(
    _ conversation: ConversationRef, _ more: [String: JSONValue], isReport: Bool
  ) -> InboundMessage {
    let isOwn = mail.from.map { own.contains($0.address.lowercased()) } ?? false
    let full = fullText
    let new = newText(full)
    let files = mail.files.map { attachment($0) }
    var details = self.details.merging(more) { own, _ in own }
    if new != full, !full.isEmpty {
      details["fullText"] = .string(MessageText.sanitised(full, bytesMax: Self.fullBytesMax))
    }
    if let html = mail.html, !html.isEmpty {
      if html.utf8.count <= Self.fullBytesMax { details["html"] = .string(MessageText.sanitised(html)) }
      details["htmlPart"] = mail.htmlPart.map { .string(MessageText.sanitised($0, bytesMax: 512)) }
    }
    let spoken: MessageKind = new.isEmpty ? MediaKind.message(files) : .text
    return InboundMessage(
      conversation: conversation, externalID: messageID, direction: isOwn ? .outbound : .inbound,
      sender: sender, kind: isReport ? .system : spoken,
      text: new.isEmpty ? nil : MessageText.sanitised(new), attachments: files, replyTo: thread.parent,
      details: details.isEmpty ? nil : .object(details), sentAt: at, status: isOwn ? .sent : nil)
  }

  // MARK: Text

  /// What is looked at: more is in no message, and whoever writes a mail decides how much there is to read.
  private static let htmlBytesMax = 1 << 20

  private var hasText: Bool { mail.text?.contains { !$0.isWhitespace } ?? false }

  private var html: String? {
    mail.html.map { MessageText.sanitised($0, bytesMax: Self.htmlBytesMax) }
  }

  private var fullText: String {
    let text = hasText ? mail.text : html.map { HTMLText.plain($0) }
    return QuotedText.trimmed(MessageText.sanitised(text ?? ""))
  }

  /// Without what was quoted. Where there is only HTML its marks are better than words.
  private func newText(_ full: String) -> String {
    guard !hasText, let html else { return QuotedText.new(full) }
    let marked = MessageText.sanitised(HTMLText.plain(QuotedHTML.new(html)))
    let isEmpty = !marked.contains { !$0.isWhitespace }
    return QuotedText.new(isEmpty ? full : marked)
  }

  private func attachment(_ file: EmailMessage.File) -> Attachment {
    let type = MessageText.name(file.type?.lowercased())
    return Attachment(
      kind: MediaKind.attachment(type),
      externalID: file.part.map { MessageText.sanitised($0, bytesMax: MessageText.nameBytesMax) },
      url: WebAddress.checked(file.url), name: MessageText.name(file.name), mimeType: type,
      sizeBytes: file.sizeBytes.flatMap { $0 < 0 ? nil : $0 })
  }

  // MARK: Details

  private var details: [String: JSONValue] {
    var details: [String: JSONValue] = [:]
    details["subject"] = MessageText.name(mail.subject).map { .string($0) }
    details["to"] = Self.list(mail.to)
    details["cc"] = Self.list(mail.cc)
    details["replyTo"] = Self.list(mail.replyTo)
    if !mail.recipients.isEmpty {
      details["recipients"] = .array(mail.recipients.prefix(Self.peopleMax).map { Self.text($0) })
    }
    if !thread.references.isEmpty {
      details["references"] = .array(thread.references.map { .string($0) })
    }
    let ids = mail.files.compactMap { file in
      file.contentID.flatMap { id in
        file.part.map { (MessageText.sanitised(id, bytesMax: 512), Self.text($0)) }
      }
    }
    if !ids.isEmpty {
      details["contentIds"] = .object(Dictionary(ids, uniquingKeysWith: { first, _ in first }))
    }
    details["automatic"] = automatic.map { .string($0) }
    details["list"] = MessageText.name(mail.headers["List-Id"]).map { .string($0) }
    if let report = mail.report { details["report"] = Self.json(report) }
    return details
  }

  /// Why nobody wrote this by hand, as the header says; nil: somebody may have.
  private var automatic: String? {
    let headers = mail.headers
    if let word = headers["Auto-Submitted"]?.lowercased().split(whereSeparator: { "; ".contains($0) }).first {
      return word == "no" ? nil : MessageText.name(String(word))
    }
    if let word = headers["Precedence"]?.lowercased(),
      ["bulk", "auto_reply", "auto-reply", "junk", "list"].contains(word)
    {
      return word
    }
    let replies = ["X-Autoreply", "X-Autorespond", "X-Auto-Reply"]
    return replies.contains { headers[$0] != nil } ? "auto-replied" : nil
  }

  private static func list(_ addresses: [MailAddress]) -> JSONValue? {
    guard !addresses.isEmpty else { return nil }
    return .array(
      addresses.prefix(peopleMax).map { address in
        var members = ["address": text(address.address)]
        members["name"] = MessageText.name(address.name).map { .string($0) }
        return .object(members)
      })
  }

  private static func text(_ text: String) -> JSONValue {
    .string(MessageText.sanitised(text, bytesMax: MessageText.nameBytesMax))
  }

  private static func json(_ report: MailReport) -> JSONValue {
    .array(
      report.recipients.map { recipient in
        var members = ["action": text(recipient.action)]
        members["address"] = recipient.address.map { text($0) }
        members["reason"] = recipient.reason.map { text($0) }
        return .object(members)
      })
  }

  // MARK: Reports

  /// How far the mail got that a report is about. One that has several recipients failed when it failed for
  /// one of them: that is what the sender has to know.
  private var statuses: [InboundItem] {
    guard let report = mail.report else { return [] }
    let named = report.subject ?? thread.parent.map { (thread.root ?? $0, $0) }
    guard let (conversation, message) = named else { return [] }
    let found = report.recipients.compactMap { recipient in
      Self.status(recipient.action).map { ($0, recipient.reason) }
    }
    let chosen = found.first { $0.0 == .failed } ?? found.first
    guard let (status, reason) = chosen else { return [] }
    return [
      .status(
        StatusChange(
          conversation: ConversationRef(externalID: conversation, kind: .email), externalID: message,
          status: status, reason: status == .failed ? MessageText.name(reason) : nil,
          clientKey: EmailReply.key(ofID: message), at: at))
    ]
  }

  private static func status(_ action: String) -> MessageStatus? {
    switch action {
    case "failed": .failed
    case "delivered", "relayed", "expanded": .delivered
    case "displayed": .read
    default: nil
    }
  }
}
