import Bytes
import EventLoop
import JSON
import MailClient
import MailWire
import Platforms

/// Pages out of a mailbox. A page is one mail, so that its line of the ledger is the mail as it came.
///
/// One connection is kept for as long as the account is held. News of the inbox are waited for; where sent
/// mail is read too, it is looked at between waits.
final class MailboxPages: PageSource {
  /// Mails of one command, of which the first is delivered at once.
  private static let mailsAtOnce = 20
  private static let olderAtOnce = 10
  /// How often sent mail is looked at.
  private static let sentEvery: Duration = .seconds(15)
  /// How often news are looked for while there is other work.
  private static let lookEvery: Duration = .seconds(3)
  /// When a mailbox was made anew: how far back it is read once more, for clocks that are apart and mail that
  /// was late.
  private static let overlapSeconds: Int64 = 86_400

  /// Mails that were fetched and not delivered yet.
  private struct Stock {
    let folder: MailboxAccess.Folder
    let uidValidity: UInt32
    /// The place for which they are next.
    var reached: UInt32
    var mails: [FetchedMail]
    /// Where the last of them leads.
    let end: UInt32
    let isLast: Bool
  }

  private let platform: any MailboxPlatform
  private let connector: MailboxConnector
  private var client: IMAPClient?
  private var selected: (folder: MailboxAccess.Folder, state: MailboxState)?
  private var ahead: Stock?
  private var behind: Stock?
  /// Where the live pages are: history begins in front of it.
  private var live = MailboxCursor(nil)
  private var looked: LoopInstant?

  init(_ platform: any MailboxPlatform, _ connector: MailboxConnector) {
    self.platform = platform
    self.connector = connector
  }

  func page(_ job: PollJob, until end: LoopInstant) async throws(APIFailure) -> FoundPage {
    guard let access = platform.mailbox(job.secrets, token: job.token) else {
      throw APIFailure("the account's credentials are not complete", .credentials(action: "complete them"))
    }
    do throws(IMAPFailure) {
      switch job.mode {
      case .live: return try await livePage(job, access, until: end)
      case .history(let limit), .sweep(let limit): return try await olderPage(job, access, limit)
      }
    } catch {
      client?.close()
      forget()
      throw MailFaults.failure(error, hasToken: access.hasToken)
    }
  }

  func close() async {
    if Task.isCancelled {
      client?.close()
    } else {
      await client?.logOut()
    }
    forget()
  }

  private func forget() {
    client = nil
    selected = nil
    ahead = nil
    behind = nil
  }

  /// The session, with a folder selected.
  private func session(
    _ folder: MailboxAccess.Folder, _ access: MailboxAccess
  ) async throws(IMAPFailure) -> (IMAPClient, MailboxState) {
    let session: IMAPClient
    if let client, !client.isClosed {
      session = client
    } else {
      forget()
      session = try await connector.connect(access, mailsAtOnce: Self.mailsAtOnce)
      client = session
    }
    if let selected, selected.folder == folder { return (session, selected.state) }
    selected = nil
    let state = try await session.select(folder.name)
    selected = (folder, state)
    return (session, state)
  }

  // MARK: Live

  private func livePage(
    _ job: PollJob, _ access: MailboxAccess, until end: LoopInstant
  ) async throws(IMAPFailure) -> FoundPage {
    var cursor = MailboxCursor(job.cursor)
    defer { live = cursor }
    while true {
      if let page = next(&cursor, job) { return page }
      if !job.mayWait, let looked, loop.now - looked < Self.lookEvery { return nothing(cursor) }
      let before = cursor
      for folder in access.folders {
        if let page = try await next(in: folder, &cursor, job, access) { return page }
      }
      looked = loop.now
      // Where it begins is kept before anything is waited for.
      guard job.mayWait, cursor == before, loop.now < end, let client else { return nothing(cursor) }
      _ = try await client.idle(
        until: access.folders.count > 1 ? min(end, loop.now + Self.sentEvery) : end)
    }
  }

  private var loop: EventLoop { connector.loop }

  private func nothing(_ cursor: MailboxCursor) -> FoundPage {
    FoundPage(page: PollPage(cursor: cursor.json), source: .answers([]))
  }

  private func next(
    in folder: MailboxAccess.Folder, _ cursor: inout MailboxCursor, _ job: PollJob, _ access: MailboxAccess
  ) async throws(IMAPFailure) -> FoundPage? {
    let (client, state) = try await session(folder, access)
    let place = try await place(in: folder, cursor, state, client, job)
    cursor[folder] = place
    let page = try await client.page(
      after: MailCursor(uidValidity: place.uidValidity, uid: place.uid))
    ahead = Stock(
      folder: folder, uidValidity: place.uidValidity, reached: place.uid,
      mails: page.mails.filter { !Self.isDraft($0) }, end: page.cursor.uid, isLast: page.isLast)
    return next(&cursor, job)
  }

  /// The next of what was fetched; nil: nothing is left of it.
  private func next(_ cursor: inout MailboxCursor, _ job: PollJob) -> FoundPage? {
    guard var stock = ahead else { return nil }
    ahead = nil
    guard var place = cursor[stock.folder], place.uidValidity == stock.uidValidity,
      place.uid == stock.reached
    else { return nil }
    guard !stock.mails.isEmpty else {
      place.uid = max(place.uid, stock.end)
      cursor[stock.folder] = place
      return nil
    }
    let mail = stock.mails.removeFirst()
    stock.reached = mail.uid
    place.uid = mail.uid
    if let date = mail.internalDate, date > place.at, date <= job.now { place.at = date }
    cursor[stock.folder] = place
    ahead = stock
    return page(mail, stock.folder, cursor, job, hasMore: !stock.mails.isEmpty || !stock.isLast)
  }

  /// Where a folder is read from: where it was, or its end. One that was made anew is read once more from
  /// about when it was last read; what is known of it is recognised by its ids.
  private func place(
    in folder: MailboxAccess.Folder, _ cursor: MailboxCursor, _ state: MailboxState, _ client: IMAPClient,
    _ job: PollJob
  ) async throws(IMAPFailure) -> MailboxCursor.Place {
    guard var place = cursor[folder] else {
      return MailboxCursor.Place(
        mailbox: folder.name, uidValidity: state.uidValidity, uid: state.end.uid, at: job.now)
    }
    guard place.uidValidity != state.uidValidity else { return place }
    let since = Timestamp(seconds: place.at.seconds - Self.overlapSeconds)
    place.uid = try await client.uid(before: since, end: state.uidNext)
    place.uidValidity = state.uidValidity
    return place
  }

  private static func isDraft(_ mail: FetchedMail) -> Bool {
    mail.flags.contains { $0.lowercased() == "\\draft" }
  }

  // MARK: What is older

  /// The inbox first, then sent mail, each from its end to the time.
  private func olderPage(
    _ job: PollJob, _ access: MailboxAccess, _ limit: Timestamp
  ) async throws(IMAPFailure) -> FoundPage {
    var cursor = MailboxCursor(job.cursor)
    for folder in access.folders.reversed() {
      if let place = cursor[folder], place.uid <= 1 { continue }
      let (client, state) = try await session(folder, access)
      var place = olderPlace(in: folder, cursor, state, job)
      while place.uid > 1 {
        if behind.map({ $0.folder != folder || $0.reached != place.uid || $0.mails.isEmpty }) ?? true {
          behind = try await older(than: place, in: folder, client, limit)
        }
        guard let mail = behind?.mails.first else {
          place.uid = behind?.isLast == false ? min(place.uid - 1, behind?.end ?? 1) : 1
          continue
        }
        behind?.mails.removeFirst()
        behind?.reached = mail.uid
        place.uid = mail.uid
        if Self.isDraft(mail) || mail.internalDate.map({ $0 < limit }) ?? false { continue }
        cursor[folder] = place
        return page(mail, folder, cursor, job, hasMore: true)
      }
      cursor[folder] = place
    }
    return nothing(cursor)
  }

  private func olderPlace(
    in folder: MailboxAccess.Folder, _ cursor: MailboxCursor, _ state: MailboxState, _ job: PollJob
  ) -> MailboxCursor.Place {
    if let place = cursor[folder], place.uidValidity == state.uidValidity { return place }
    // What came while the account is there is no history.
    let known = live[folder].flatMap { $0.uidValidity == state.uidValidity ? $0.uid : nil }
    let end = known.map { $0 < .max ? $0 + 1 : $0 } ?? state.uidNext
    return MailboxCursor.Place(
      mailbox: folder.name, uidValidity: state.uidValidity, uid: end, at: job.now)
  }

  /// The next older ones. A mailbox is in the order of arrival but for moved mails: when all of a lot are too
  /// old, there is nothing more.
  private func older(
    than place: MailboxCursor.Place, in folder: MailboxAccess.Folder, _ client: IMAPClient,
    _ limit: Timestamp
  ) async throws(IMAPFailure) -> Stock {
    let page = try await client.page(before: place.uid, count: Self.olderAtOnce)
    let isOver =
      !page.mails.isEmpty && page.mails.allSatisfy { $0.internalDate.map { $0 < limit } ?? false }
    return Stock(
      folder: folder, uidValidity: place.uidValidity, reached: place.uid, mails: isOver ? [] : page.mails,
      end: page.cursor.uid, isLast: isOver || page.isLast)
  }

  // MARK: One mail

  private func page(
    _ mail: FetchedMail, _ folder: MailboxAccess.Folder, _ cursor: MailboxCursor, _ job: PollJob,
    hasMore: Bool
  ) -> FoundPage {
    var fetched = FetchedDelivery(bytes: [], role: folder.role, uid: mail.uid, date: mail.internalDate)
    switch mail.content {
    case .whole(let bytes): fetched.bytes = bytes
    case .headerOnly(let bytes):
      fetched.bytes = bytes
      fetched.fullSize = mail.size
    case .missing: break
    }
    var content = Normalised()
    do throws(NormaliseError) {
      content = try platform.normalise(fetched.delivery(receivedAt: job.now, secrets: job.secrets))
    } catch {
      content.faults.append(error)
    }
    return FoundPage(
      page: PollPage(content, cursor: cursor.json, hasMore: hasMore), source: .mail(fetched))
  }
}
