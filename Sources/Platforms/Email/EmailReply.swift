import Bytes
import JSON
import MailWire
import Messaging

/// What a user wrote, as a mail of its thread.
///
/// It answers the other side's last mail: its writer gets it, with everybody else whom that mail went to in
/// copy. `platform` may say otherwise: `to`, `cc` (lists of addresses), `subject`, `html`.
struct EmailReply {
  private static let peopleMax = 100

  private let job: SendJob
  private let message: OutboundMessage
  /// The other side's last mail.
  private let last: JSONValue?
  private let own: Set<String>

  init(_ job: SendJob, _ message: OutboundMessage) {
    self.job = job
    self.message = message
    last = job.lastInboundDetails
    own = Set(
      (job.secrets[EmailAccount.addressField] + (last?["recipients"]?.array ?? []).compactMap(\.string))
        .map { $0.lowercased() })
  }

  /// What is wrong with it; nil: it can be sent.
  var refusal: SendRefusal? {
    for name in ["to", "cc"] {
      guard let given = message.extras?[name] else { continue }
      guard let entries = given.array, entries.count <= Self.peopleMax,
        entries.allSatisfy({ ($0.string).map { MailAddress.isSayable($0) } ?? false })
      else { return .content("platform.\(name) has to be a list of mail addresses") }
    }
    if to.isEmpty { return .content("nobody is known to write to: name somebody in platform.to") }
    guard message.text?.isEmpty == false || !message.files.isEmpty || html != nil else {
      return .content("a mail needs a text or a file")
    }
    return nil
  }

  /// nil: the account has no address.
  var draft: MailDraft? {
    guard let address = EmailMailbox(secrets: job.secrets).address else { return nil }
    let from = MailAddress(name: job.secrets.first(EmailMailbox.nameField) ?? "", address)
    var draft = MailDraft(from: from, messageID: Self.id(key: job.key, address: address), date: job.now)
    draft.to = to
    draft.cc = cc
    draft.subject = subject
    draft.text = message.text ?? ""
    draft.html = html
    draft.inReplyTo = answered
    draft.references = references
    return draft
  }

  private var html: String? { message.extras?["html"]?.string.flatMap { $0.isEmpty ? nil : $0 } }

  private var subject: String {
    if let given = message.extras?["subject"]?.string { return given }
    let title = job.conversation.title ?? EmailSubject.base(last?["subject"]?.string)
    return title.map { "Re: \($0)" } ?? "Re:"
  }

  // MARK: The thread

  private var answered: String? { message.replyTo ?? job.lastInboundID }

  /// The first mail of the thread in front, because that is what the conversation is known by.
  private var references: [String] {
    let known = (last?["references"]?.array ?? []).compactMap(\.string)
    let between = known + [job.lastInboundID].compactMap { $0 }
    let root = job.conversation.externalID
    let end = answered ?? root
    var ids = [root]
    for id in between where !ids.contains(id) && id != end { ids.append(id) }
    return end == root ? ids : ids + [end]
  }

  /// The same for every try, so that a copy or a report of it names the job.
  static func id(key: String, address: String) -> String {
    let domain = address.split(separator: "@").last.map(String.init) ?? ""
    let isPlain = domain.utf8.allSatisfy { byte in
      byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        || (byte < 0x80 && Unicode.Scalar(byte).properties.isAlphabetic)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
    return "\(key)@\(isPlain && !domain.isEmpty ? domain.lowercased() : "mail.invalid")"
  }

  /// The key of the job that an id was made of; nil: it was made elsewhere.
  static func key(ofID id: String?) -> String? {
    guard let name = id?.split(separator: "@").first.map(String.init), let key = UUIDv7(name),
      "\(key)" == name
    else { return nil }
    return name
  }

  // MARK: The people

  private var to: [MailAddress] {
    if let given = given("to") { return given }
    // A report comes from a machine. What is said behind it is for those whom the mail did not reach.
    if let report = last?["report"]?.array {
      return people(report.compactMap { $0["address"]?.string }.map { MailAddress($0) })
    }
    let wanted = people(Self.addresses(last?["replyTo"]))
    if !wanted.isEmpty { return wanted }
    return people([job.recipient.map { MailAddress(name: $0.name ?? "", $0.id) }].compactMap { $0 })
  }

  private var cc: [MailAddress] {
    if let given = given("cc") { return given }
    guard message.extras?["to"] == nil, last?["report"] == nil else { return [] }
    let direct = Set(to.map { $0.address.lowercased() })
    return people(Self.addresses(last?["to"]) + Self.addresses(last?["cc"])).filter {
      !direct.contains($0.address.lowercased())
    }
  }

  private func given(_ name: String) -> [MailAddress]? {
    message.extras?[name]?.array?.compactMap(\.string).map { MailAddress($0) }
  }

  /// Each once, without the account itself.
  private func people(_ addresses: [MailAddress]) -> [MailAddress] {
    var seen = own
    let others = addresses.filter {
      MailAddress.isSayable($0.address) && seen.insert($0.address.lowercased()).inserted
    }
    return Array(others.prefix(Self.peopleMax))
  }

  private static func addresses(_ list: JSONValue?) -> [MailAddress] {
    (list?.array ?? []).compactMap { entry in
      entry["address"]?.string.map { MailAddress(name: entry["name"]?.string ?? "", $0) }
    }
  }
}
