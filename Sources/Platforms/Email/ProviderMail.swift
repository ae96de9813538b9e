import JSON
import MailWire
import Messaging

/// A user's mail as providers take it over their APIs: the mail is theirs to write, and what makes it a part
/// of its thread is the hub's. See `EmailReply` for what it says to whom.
struct ProviderMail {
  let draft: MailDraft
  let files: [OutboundFile]
  private let conversation: String
  private let extras: JSONValue?

  /// nil: it is no mail, or the account has no address.
  init?(_ job: SendJob) {
    guard case .message(let message) = job.action, let draft = EmailReply(job, message).draft else {
      return nil
    }
    self.draft = draft
    files = message.files
    conversation = job.conversation.externalID
    extras = message.extras
  }

  /// - Parameters:
  ///   - fields: the credentials that sending needs.
  ///   - bytesMax: of all files, as they are.
  ///   - peopleMax: of a mail.
  static func refusal(
    of action: OutboundAction, _ job: SendJob, on platform: any Platform, needs fields: [String],
    bytesMax: Int64, peopleMax: Int = 1_000
  ) -> SendRefusal? {
    guard case .message(let message) = action else { return .oneWay(platform.displayName, action) }
    for field in fields + [EmailAccount.addressField] where job.secrets.first(field) == nil {
      return .lacking(field)
    }
    if let refusal = EmailReply(job, message).refusal { return refusal }
    guard let mail = ProviderMail(job), MailAddress.isSayable(mail.draft.from.address) else {
      return .content("\(EmailAccount.addressField) is no mail address")
    }
    let people = mail.draft.to.count + mail.draft.cc.count
    if people > peopleMax {
      return .content("\(platform.displayName) takes \(peopleMax) people at most, not \(people)")
    }
    let bytes = message.files.reduce(Int64(0)) { $0 &+ $1.sizeBytes }
    return bytes > bytesMax
      ? .content("\(platform.displayName) takes files of \(bytesMax >> 20) MB at most together") : nil
  }

  /// The id by which the hub and the events of the provider know it.
  var messageID: String { EmailThread.bounded(draft.messageID) }

  /// Something, because a mail of files alone is refused.
  var text: String { draft.text.isEmpty && draft.html == nil ? " " : draft.text }

  /// The mail's id and its place in the thread.
  var headers: [(name: String, value: String)] { MailWriter.threadFields(draft) }

  func metadata(unitsMax: Int = .max) -> [(name: String, value: String)] {
    EmailEvent.metadata(conversation: conversation, message: messageID, unitsMax: unitsMax)
  }

  /// What the user said in `platform` for this provider.
  subscript(extra name: String) -> JSONValue? { extras?[name] }
}
