package import Bytes
package import EventLoop
package import MailWire

// Mailboxes: which there are, one of them selected, and what happens in it.
extension IMAPClient {
  /// Where an appended message stands, from servers with UIDPLUS.
  package struct AppendedMail: Sendable, Equatable {
    package var uidValidity: UInt32
    package var uid: UInt32
  }

  /// All mailboxes, with their attributes: `\Sent` tells where sent mail belongs.
  package func mailboxes(pattern: String = "*") async throws(IMAPFailure) -> [IMAPMailbox] {
    var found: [IMAPMailbox] = []
    try await perform(.list(reference: "", pattern: pattern)) { (response) throws(IMAPFailure) in
      guard case .mailbox(let mailbox) = response else { return }
      guard found.count < 10_000 else { throw .unexpected("too many mailboxes") }
      found.append(mailbox)
    }
    return found
  }

  /// Selects a mailbox for all that follows. Nothing in it is changed by reading, and with `isReadOnly`
  /// nothing can be.
  package func select(_ mailbox: String, isReadOnly: Bool = true) async throws(IMAPFailure) -> MailboxState {
    try await perform(.select(mailbox: mailbox, isReadOnly: isReadOnly))
    guard let selection, selection.uidValidity > 0 else { throw .unexpected("a mailbox without UIDVALIDITY") }
    var uidNext = selection.uidNext
    if uidNext == nil {
      uidNext = 1
      if selection.exists > 0 {
        try await perform(.fetchLastUID) { (response) throws(IMAPFailure) in
          if case .fetch(let fetch) = response, let uid = fetch.uid { uidNext = uid < .max ? uid + 1 : uid }
        }
      }
    }
    forgetNews()
    return MailboxState(
      uidValidity: selection.uidValidity, uidNext: uidNext ?? 1, highestModSeq: selection.highestModSeq,
      exists: selection.exists)
  }

  package func createMailbox(_ name: String) async throws(IMAPFailure) {
    try await perform(.create(mailbox: name))
  }

  /// Puts a message into a mailbox, as sent mail is.
  /// - Returns: nil when the server does not say where.
  /// - Throws: `.refused` with `.tryCreate` when there is no such mailbox.
  package func append(
    _ message: [UInt8], to mailbox: String, flags: [String] = ["\\Seen"], date: Timestamp? = nil
  ) async throws(IMAPFailure) -> AppendedMail? {
    let status = try await perform(
      .append(mailbox: mailbox, flags: flags, date: date, message: message))
    guard case .appendUID(let uidValidity, let uids)? = status.code, let uid = uids.last else { return nil }
    return AppendedMail(uidValidity: uidValidity, uid: uid)
  }

  /// Adds flags to messages or takes them away. The mailbox must not be selected as read-only.
  package func store(
    _ change: IMAPCommand.FlagChange, _ flags: [String], uids: IMAPNumberSet
  ) async throws(IMAPFailure) {
    guard !uids.isEmpty else { return }
    try await perform(.store(uids, change, flags: flags))
  }

  /// Waits until something happens in the selected mailbox, at most until `deadline`.
  ///
  /// What was told since the last call, or since `select`, is returned at once, so nothing is lost between
  /// a page and the wait.
  /// - Returns: empty at the deadline.
  package func idle(until deadline: LoopInstant) async throws(IMAPFailure) -> MailboxChanges {
    var canIdle = capabilities.idle
    while news.isEmpty, loop.now < deadline {
      if canIdle {
        canIdle = try await idleOnce(until: min(deadline, loop.now + configuration.idleRenewal))
      } else {
        do {
          try await loop.sleep(for: min(configuration.pollInterval, deadline - loop.now))
        } catch {
          close()
          throw .cancelled
        }
        let client = self
        try await perform(.noop) { (response) throws(IMAPFailure) in client.noteFlags(response) }
      }
    }
    defer { news = MailboxChanges() }
    return news
  }

  /// - Returns: false when the server refuses to.
  private func idleOnce(until end: LoopInstant) async throws(IMAPFailure) -> Bool {
    let client = self
    func deliver(_ response: IMAPResponse) throws(IMAPFailure) { client.noteFlags(response) }
    let limit = configuration.answerTimeout
    guard session.isReady, !isClosed else { throw .connection("the session is not ready") }
    guard case .idling = try await exchange(session.begin(.idle), deadline: loop.now + limit, deliver) else {
      return false
    }
    do throws(IMAPFailure) {
      while news.isEmpty {
        let actions = try await nextActions(deadline: end, silence: configuration.idleRenewal)
        if try await run(actions, deadline: loop.now + limit, deliver) != nil { return true }
      }
    } catch {
      // At the end of the time something has to be said, so that neither side takes the other for dead.
      guard error == .timedOut else {
        close()
        throw error
      }
    }
    _ = try await exchange(session.finishIdle(), deadline: loop.now + limit, deliver)
    return true
  }

  /// Nobody asked: somebody else changed a message's flags.
  private func noteFlags(_ response: IMAPResponse) {
    if case .fetch(let fetch) = response, fetch.flags != nil { news.hasFlagChanges = true }
  }
}
