import Bytes
package import MailWire

// Messages: those behind a cursor in pages, and what became of those that are known.
extension IMAPClient {
  /// The next messages behind `cursor`, bounded in number and bytes. A page that is kept in one transaction
  /// with its cursor is neither lost nor doubled.
  /// - Throws: `.uidValidityChanged` when the cursor is of another life of the mailbox.
  package func page(after cursor: MailCursor) async throws(IMAPFailure) -> MailPage {
    guard let selection else { throw .unexpected("no mailbox is selected") }
    guard cursor.uidValidity == selection.uidValidity else {
      throw .uidValidityChanged(now: selection.uidValidity)
    }
    let (uids, isAll) = try await uids(after: cursor.uid, count: configuration.pageMailsMax)
    guard let last = uids.last else { return MailPage(mails: [], cursor: cursor, isLast: true) }
    let (mails, isCut) = try await fetch(uids)
    let reached = isCut ? mails.last?.uid ?? cursor.uid : last
    return MailPage(
      mails: mails, cursor: MailCursor(uidValidity: cursor.uidValidity, uid: reached),
      isLast: isAll && !isCut)
  }

  /// Messages by UID, in rising order: those that exist.
  /// - Returns: also whether the page's bytes were full before all were fetched.
  package func fetch(_ uids: [UInt32]) async throws(IMAPFailure) -> (mails: [FetchedMail], isCut: Bool) {
    let summaries = try await summaries(of: uids)
    var chosen: [FetchedMail] = []
    var bytes = 0
    for mail in summaries {
      let isWhole = mail.size <= UInt64(configuration.mailBytesMax)
      bytes += isWhole ? Int(mail.size) : configuration.headerBytesMax
      if !chosen.isEmpty, bytes > configuration.pageBytesMax { break }
      chosen.append(mail)
    }
    let whole = chosen.filter { $0.size <= UInt64(configuration.mailBytesMax) }.map(\.uid)
    let large = chosen.filter { $0.size > UInt64(configuration.mailBytesMax) }.map(\.uid)
    let bodies = try await sections(of: whole, .body(bytesMax: configuration.mailBytesMax + 1))
    let headers = try await sections(of: large, .header(bytesMax: configuration.headerBytesMax))
    for index in chosen.indices {
      if let body = bodies[chosen[index].uid] {
        chosen[index].content = content(body)
      } else if let header = headers[chosen[index].uid] {
        chosen[index].content = .headerOnly(header)
      }
    }
    return (chosen, chosen.count < summaries.count)
  }

  /// Servers may be wrong about a size. A body that is longer than asked for is cut to its header.
  private func content(_ body: [UInt8]) -> FetchedMail.Content {
    guard body.count > configuration.mailBytesMax else { return .whole(body) }
    let start = body.prefix(configuration.headerBytesMax)
    var end = start.endIndex
    for index in start.indices.dropFirst(3)
    where start[index] == 10 && start[index - 1] == 13 && start[index - 2] == 10 {
      end = index + 1
      break
    }
    return .headerOnly(Array(start[..<end]))
  }

  // MARK: Flags

  /// The flags of messages up to `uid` that changed since `modSeq`, and those that are gone.
  /// - Parameter modSeq: nil for all flags; the only choice where `MailboxState.highestModSeq` is nil.
  package func flagChanges(upTo uid: UInt32, since modSeq: UInt64?) async throws(IMAPFailure) -> FlagChanges {
    guard let selection else { throw .unexpected("no mailbox is selected") }
    guard uid > 0 else { return FlagChanges(modSeq: modSeq) }
    if modSeq != nil, selection.highestModSeq == nil {
      throw .unsupported("the mailbox has no mod-sequences")
    }
    // The server answers from what it last told this session: first it tells what is new.
    try await perform(.noop)
    var changes = FlagChanges(modSeq: modSeq ?? selection.highestModSeq)
    var vanished: [ClosedRange<UInt32>] = []
    let limit = configuration.flagChangesMax
    let items: [IMAPCommand.FetchItem] = selection.highestModSeq == nil ? [.flags] : [.flags, .modSeq]
    try await perform(.fetch(IMAPNumberSet(1...uid), items, changedSince: modSeq)) {
      (response) throws(IMAPFailure) in
      guard changes.flags.count + vanished.count <= limit else { throw .unexpected("too many flag changes") }
      switch response {
      case .fetch(let fetch):
        guard let uid = fetch.uid, let flags = fetch.flags else { return }
        changes.flags.append(FlagChanges.Flags(uid: uid, flags: flags, modSeq: fetch.modSeq))
        if let modSeq = fetch.modSeq { changes.modSeq = max(changes.modSeq ?? 0, modSeq) }
      case .vanished(let uids, _): vanished += uids.ranges
      default: break
      }
    }
    changes.vanished = IMAPNumberSet(ranges: vanished)
    return changes
  }

  // MARK: Parts of a page

  /// The first UIDs behind `uid`, and whether that is all of them.
  ///
  /// Asks for growing windows up to where the mailbox was known to end, so that a large mailbox is not
  /// listed for each page of it; then for the open rest, because new messages have UIDs that nobody told
  /// of.
  private func uids(after uid: UInt32, count: Int) async throws(IMAPFailure) -> ([UInt32], isAll: Bool) {
    guard uid < .max else { return ([], true) }
    let known = selection?.uidNext ?? 0
    var first = uid + 1
    var width: UInt32 = 1_000
    var found: [UInt32] = []
    while true {
      let (end, overflow) = first.addingReportingOverflow(width)
      let isOpen = overflow || end >= known
      let last = isOpen ? nil : end - 1
      let answer = try await search(first, last)
      found += answer.clamped(to: first...(last ?? .max)).prefix(count + 1 - found.count)
      if found.count > count { return (Array(found.prefix(count)), false) }
      if isOpen { return (found, true) }
      first = end
      width = width > 1 << 28 ? width : width * 4
    }
  }

  func search(_ first: UInt32, _ last: UInt32?) async throws(IMAPFailure) -> IMAPNumberSet {
    var ranges: [ClosedRange<UInt32>] = []
    try await perform(.searchUIDs(first: first, last: last)) { (response) throws(IMAPFailure) in
      guard case .found(let set, _) = response else { return }
      guard ranges.count < 1_000_000 else { throw .unexpected("too many search results") }
      ranges += set.ranges
    }
    return IMAPNumberSet(ranges: ranges)
  }

  /// What is known of messages without their bodies.
  func summaries(of uids: [UInt32]) async throws(IMAPFailure) -> [FetchedMail] {
    guard !uids.isEmpty else { return [] }
    var items: [IMAPCommand.FetchItem] = [.flags, .internalDate, .size]
    if selection?.highestModSeq != nil { items.append(.modSeq) }
    let wanted = Set(uids)
    var mails: [UInt32: FetchedMail] = [:]
    try await perform(.fetch(IMAPNumberSet(uids), items, changedSince: nil)) {
      (response) throws(IMAPFailure) in
      guard case .fetch(let fetch) = response, let uid = fetch.uid, wanted.contains(uid),
        let size = fetch.size
      else { return }
      mails[uid] = FetchedMail(
        uid: uid, flags: fetch.flags ?? [], internalDate: fetch.internalDate, size: size,
        modSeq: fetch.modSeq,
        content: .missing)
    }
    return mails.values.sorted { $0.uid < $1.uid }
  }

  /// Bodies or headers by UID. When the server refuses, each message is asked for alone, so that one that it
  /// cannot read does not hold up the others.
  private func sections(
    of uids: [UInt32], _ item: IMAPCommand.FetchItem
  ) async throws(IMAPFailure) -> [UInt32: [UInt8]] {
    guard !uids.isEmpty else { return [:] }
    var found: [UInt32: [UInt8]] = [:]
    if try await sections(of: uids, item, into: &found) { return found }
    for uid in uids where found[uid] == nil {
      _ = try await sections(of: [uid], item, into: &found)
    }
    return found
  }

  /// - Returns: false when the server refused.
  private func sections(
    of uids: [UInt32], _ item: IMAPCommand.FetchItem, into found: inout [UInt32: [UInt8]]
  ) async throws(IMAPFailure) -> Bool {
    let wanted = Set(uids)
    // Sizes that the server understates must not add up to more than a page and a mail.
    let limit = configuration.pageBytesMax + configuration.mailBytesMax + configuration.headerBytesMax
    var bytes = 0
    var sections: [UInt32: [UInt8]] = [:]
    do throws(IMAPFailure) {
      try await perform(.fetch(IMAPNumberSet(uids), [item], changedSince: nil)) {
        (response) throws(IMAPFailure) in
        guard case .fetch(let fetch) = response, let uid = fetch.uid, wanted.contains(uid),
          let body = fetch.sections.first?.bytes
        else { return }
        bytes += body.count
        guard bytes <= limit else { throw .unexpected("more bytes than the messages' sizes said") }
        sections[uid] = body
      }
    } catch {
      guard case .refused = error else { throw error }
      found.merge(sections) { _, new in new }
      return false
    }
    found.merge(sections) { _, new in new }
    return true
  }
}
