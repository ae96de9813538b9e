/// The selected mailbox, as the server last told of it.
package struct IMAPSelection: Sendable, Equatable {
  package var mailbox: String
  package var uidValidity: UInt32 = 0
  /// nil: the server did not say.
  package var uidNext: UInt32?
  /// nil: it keeps no mod-sequences.
  package var highestModSeq: UInt64?
  package var exists: UInt32 = 0
  package var isReadOnly = false

  package init(mailbox: String) {
    self.mailbox = mailbox
  }

  mutating func apply(_ response: IMAPResponse) {
    switch response {
    case .exists(let count): exists = count
    case .expunge: exists = exists > 0 ? exists - 1 : 0
    case .vanished(let uids, let earlier):
      if !earlier { exists -= min(exists, UInt32(clamping: uids.count)) }
    case .status(let status), .completion(_, let status):
      switch status.code {
      case .uidValidity(let value): uidValidity = value
      case .uidNext(let value): uidNext = value
      case .highestModSeq(let value): highestModSeq = value
      case .noModSeq: highestModSeq = nil
      case .readOnly: isReadOnly = true
      case .readWrite: isReadOnly = false
      default: break
      }
    case .continuation, .capability, .enabled, .mailbox, .mailboxStatus, .found, .flags, .recent, .fetch,
      .other:
      break
    }
  }
}
