package import Bytes
package import MailWire

// Messages from the end of a mailbox to its beginning, and where a time begins in it.
extension IMAPClient {
  /// Messages whose dates are looked at with one command.
  private static let datesAtOnce = 200

  /// The newest messages in front of `uid`, the newest first, bounded in number and bytes.
  /// - Returns: the cursor has the lowest UID that was looked at; `isLast` when nothing is in front of it.
  package func page(before uid: UInt32, count: Int) async throws(IMAPFailure) -> MailPage {
    guard let selection else { throw .unexpected("no mailbox is selected") }
    let uids = try await uids(before: uid, count: count)
    let isAll = uids.count < count
    guard let first = uids.first, let last = uids.last else {
      return MailPage(mails: [], cursor: MailCursor(uidValidity: selection.uidValidity, uid: 1), isLast: true)
    }
    let (mails, isCut) = try await fetch(uids)
    guard isCut else {
      return MailPage(
        mails: mails.reversed(), cursor: MailCursor(uidValidity: selection.uidValidity, uid: first),
        isLast: isAll)
    }
    // Too much at once: the newest alone.
    return MailPage(
      mails: try await fetch([last]).mails,
      cursor: MailCursor(uidValidity: selection.uidValidity, uid: last), isLast: false)
  }

  /// A UID behind which everything stands that the mailbox got since `time`. Only dates are fetched, from the
  /// end backwards, until a whole lot of messages is older: moved ones may stand behind newer ones.
  /// - Parameter end: a UID behind the last message.
  package func uid(before time: Timestamp, end: UInt32) async throws(IMAPFailure) -> UInt32 {
    var reached = end
    var found = end > 0 ? end - 1 : 0
    while true {
      let uids = try await uids(before: reached, count: Self.datesAtOnce)
      let recent = try await summaries(of: uids).first { $0.internalDate.map { $0 >= time } ?? true }
      guard let first = uids.first, let recent else { return found }
      found = min(found, recent.uid - 1)
      guard uids.count == Self.datesAtOnce else { return found }
      reached = first
    }
  }

  /// The last UIDs in front of `uid`, in rising order; fewer than `count` when there are no more.
  private func uids(before uid: UInt32, count: Int) async throws(IMAPFailure) -> [UInt32] {
    guard uid > 1 else { return [] }
    var last = uid - 1
    var width: UInt32 = 1_000
    var found: [UInt32] = []
    while true {
      let first = last > width ? last - width + 1 : 1
      let answer = try await search(first, last).clamped(to: first...last)
      found = answer.suffix(count - found.count) + found
      guard found.count < count, first > 1 else { return found }
      last = first - 1
      width = width > 1 << 28 ? width : width * 4
    }
  }
}
