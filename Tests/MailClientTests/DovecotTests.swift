import Bytes
import EventLoop
import MailWire
import Testing

@testable import MailClient

@Suite(
  "IMAP with Dovecot",
  .enabled(if: TestDovecot.isInstalled, "Dovecot is not installed: apt-get install dovecot-imapd"))
struct DovecotTests {
  /// Two sessions of one user on one loop: the hub's, and somebody else's who writes the mail.
  private func withSessions<R: Sendable>(
    _ user: String, _ security: MailSecurity = .implicitTLS,
    _ body: @Sendable (isolated Shard, IMAPClient, IMAPClient) async throws -> R
  ) async throws -> R {
    let configuration = try TestDovecot.server().configuration(user: user, security: security)
    return try await TestLoop.run { shard, blocking in
      let hub = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      let other = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      let result = try await body(shard, hub, other)
      await hub.logOut()
      await other.logOut()
      return result
    }
  }

  @Test(
    "good and bad logins, over TLS from the start and by STARTTLS",
    arguments: [MailSecurity.implicitTLS, .startTLS])
  func login(security: MailSecurity) async throws {
    let server = try TestDovecot.server()
    try await TestLoop.run { shard, blocking in
      let good = server.configuration(user: "login", security: security)
      let client = try await TestDovecot.connect(good, on: shard.loop, blocking)
      #expect(client.capabilities.contains("CONDSTORE"))
      await client.logOut()
      #expect(client.isClosed)
      let bad = server.configuration(user: "login", password: "wrong", security: security)
      let failure = await imapFailure { () async throws(IMAPFailure) in
        _ = try await IMAPClient.connect(bad, on: shard.loop, blocking: blocking)
      }
      guard case .credentials? = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
    }
  }

  @Test("a certificate for another name, or of nobody we trust, ends it before anything is said")
  func certificates() async throws {
    let server = try TestDovecot.server()
    try await TestLoop.run { shard, blocking in
      let first = try await TestDovecot.connect(server.configuration(user: "tls"), on: shard.loop, blocking)
      await first.logOut()
      var named = server.configuration(user: "tls")
      named.server.certificateName = "elsewhere.test"
      var strange = server.configuration(user: "tls", security: .startTLS)
      strange.server.tls = try TLSContext(clientTrusting: nil)
      for configuration in [named, strange] {
        let failure = await imapFailure { () async throws(IMAPFailure) in
          _ = try await IMAPClient.connect(configuration, on: shard.loop, blocking: blocking)
        }
        guard case .connection(let reason)? = failure, reason.hasPrefix("TLS") else {
          Issue.record("\(String(describing: failure))")
          return
        }
      }
    }
  }

  @Test("mail comes whole, once, behind the cursor, and a new one during IDLE within a second")
  func newMail() async throws {
    try await withSessions("newmail") { shard, hub, other in
      let first = try written("first")
      _ = try await other.append(
        first, to: "INBOX", flags: ["\\Flagged"], date: Timestamp(seconds: 1_600_000_000))
      let state = try await hub.select("INBOX")
      let page = try await hub.page(after: state.start)
      #expect(page.isLast)
      #expect(page.mails.map(\.content) == [.whole(first)])
      #expect(page.mails.first?.flags.contains("\\Flagged") == true)
      #expect(page.mails.first?.internalDate == Timestamp(seconds: 1_600_000_000))
      #expect(page.mails.first?.size == UInt64(first.count))
      let empty = try await hub.page(after: page.cursor)
      #expect(empty == MailPage(mails: [], cursor: page.cursor, isLast: true))
      let nothing = try await hub.idle(until: shard.loop.now + .milliseconds(100))
      #expect(nothing.isEmpty)

      let second = try written("second")
      let sent = LoopInstant.current()
      _ = try await other.append(second, to: "INBOX")
      let changes = try await hub.idle(until: shard.loop.now + .seconds(10))
      #expect(changes.hasNewMail)
      let next = try await hub.page(after: page.cursor)
      #expect(LoopInstant.current() - sent < .seconds(5))
      #expect(next.mails.map(\.content) == [.whole(second)])
    }
  }

  @Test("a mailbox is read from its end to its beginning, and a time is found in it by dates alone")
  func backwards() async throws {
    try await withSessions("backwards") { shard, hub, other in
      shard.loop.assertInLoop()
      // The third was moved here: it is older than what stands around it.
      for (index, day) in [1, 2, 0, 3, 4].enumerated() {
        _ = try await other.append(
          try written("number \(index)"), to: "INBOX",
          date: Timestamp(seconds: 1_600_000_000 + Int64(day) * 86_400))
      }
      let state = try await hub.select("INBOX")
      let first = try await hub.page(before: state.uidNext, count: 2)
      #expect(first.mails.map(\.uid) == [5, 4])
      #expect(first.cursor.uid == 4)
      #expect(!first.isLast)
      let second = try await hub.page(before: first.cursor.uid, count: 10)
      #expect(second.mails.map(\.uid) == [3, 2, 1])
      #expect(second.isLast)
      let nothing = try await hub.page(before: 1, count: 10)
      #expect(nothing.mails.isEmpty && nothing.isLast)
      for (day, uid) in [(0, 0), (1, 0), (2, 1), (3, 3), (4, 4), (5, 5)] as [(Int64, UInt32)] {
        let time = Timestamp(seconds: 1_600_000_000 + day * 86_400)
        #expect(try await hub.uid(before: time, end: state.uidNext) == uid)
      }
    }
  }

  @Test("mail that comes while IDLE is on wakes it, and an idle is renewed")
  func idleWakes() async throws {
    let server = try TestDovecot.server()
    try await TestLoop.run { shard, blocking in
      var renewing = server.configuration(user: "idle")
      renewing.idleRenewal = .milliseconds(150)
      let configuration = renewing
      let hub = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      _ = try await hub.select("INBOX")
      let message = try written("wake")
      let writer = Task {
        _ = shard
        try await shard.loop.sleep(for: .milliseconds(500))
        let other = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
        _ = try await other.append(message, to: "INBOX")
        let sent = LoopInstant.current()
        await other.logOut()
        return sent
      }
      let changes = try await hub.idle(until: shard.loop.now + .seconds(10))
      let woken = LoopInstant.current()
      #expect(changes.hasNewMail)
      let sent = try await writer.value
      #expect(woken - sent < .seconds(5))
      await hub.logOut()
    }
  }

  @Test("flags that change, and messages that vanish, are told since a mod-sequence")
  func flagChanges() async throws {
    try await withSessions("flags") { shard, hub, other in
      shard.loop.assertInLoop()
      for number in 1...3 {
        _ = try await other.append(try written("flag \(number)"), to: "INBOX", flags: [])
      }
      let state = try await hub.select("INBOX")
      let page = try await hub.page(after: state.start)
      let uids = page.mails.map(\.uid)
      #expect(page.mails.allSatisfy { $0.modSeq != nil && !$0.flags.contains("\\Seen") })
      let none = try await hub.flagChanges(upTo: page.cursor.uid, since: state.highestModSeq)
      #expect(none.flags.isEmpty)
      _ = try await other.select("INBOX", isReadOnly: false)
      try await other.store(.add, ["\\Seen"], uids: IMAPNumberSet([uids[1]]))
      let changes = try await hub.flagChanges(upTo: page.cursor.uid, since: none.modSeq)
      #expect(changes.flags.map(\.uid) == [uids[1]])
      #expect(changes.flags.first?.flags.contains("\\Seen") == true)
      #expect((changes.modSeq ?? 0) > (none.modSeq ?? 0))
      let after = try await hub.flagChanges(upTo: page.cursor.uid, since: changes.modSeq)
      #expect(after.flags.isEmpty)
      let all = try await hub.flagChanges(upTo: page.cursor.uid, since: nil)
      #expect(all.flags.map(\.uid) == uids)
    }
  }

  @Test("a mailbox that is made anew has another UIDVALIDITY, and an old cursor is refused")
  func uidValidity() async throws {
    try await withSessions("validity") { shard, hub, other in
      try await other.createMailbox("Box")
      _ = try await other.append(try written("old"), to: "Box")
      let old = try await hub.select("Box")
      let page = try await hub.page(after: old.start)
      #expect(page.mails.count == 1)
      // Dovecot takes the value from the clock in seconds.
      try await shard.loop.sleep(for: .milliseconds(1_100))
      try await other.perform(.delete(mailbox: "Box"))
      try await other.createMailbox("Box")
      _ = try await other.append(try written("new"), to: "Box")
      let configuration = hub.configuration
      let again = try await TestDovecot.connect(configuration, on: shard.loop, BlockingPool())
      let new = try await again.select("Box")
      #expect(new.uidValidity != old.uidValidity)
      let failure = await imapFailure { () async throws(IMAPFailure) in
        _ = try await again.page(after: page.cursor)
      }
      #expect(failure == .uidValidityChanged(now: new.uidValidity))
      #expect(!again.isClosed)
      let fresh = try await again.page(after: new.start)
      #expect(fresh.mails.count == 1)
      await again.logOut()
    }
  }

  @Test("a thousand mails come in pages, each once and in order, also across a reconnect")
  func thousand() async throws {
    let server = try TestDovecot.server()
    try await TestLoop.run { shard, blocking in
      let configuration = server.configuration(user: "thousand")
      let other = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      for number in 1...1_000 {
        _ = try await other.append(Array("Subject: \(number)\r\n\r\nText.\r\n".utf8), to: "INBOX")
      }
      var hub = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      var cursor = try await hub.select("INBOX").start
      var subjects: [String] = []
      var pages = 0
      while true {
        let page = try await hub.page(after: cursor)
        pages += 1
        for case .whole(let bytes) in page.mails.map(\.content) {
          subjects.append(String(decoding: bytes.prefix { $0 != 13 }.dropFirst(9), as: UTF8.self))
        }
        cursor = page.cursor
        if page.isLast { break }
        if pages == 7 {
          hub.close()
          hub = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
          let state = try await hub.select("INBOX")
          #expect(state.uidValidity == cursor.uidValidity)
        }
      }
      #expect(pages == 20)
      #expect(subjects == (1...1_000).map(String.init))
      await hub.logOut()
      await other.logOut()
    }
  }

  @Test(
    "a mail of twenty megabytes comes whole; one beyond the limit as its header, and neither holds up the next"
  )
  func large() async throws {
    let server = try TestDovecot.server()
    try await TestLoop.run { shard, blocking in
      var configuration = server.configuration(user: "large")
      let line = Array((String(repeating: "x", count: 76) + "\r\n").utf8)
      var message = Array("Subject: large\r\n\r\n".utf8)
      while message.count < 20 << 20 { message += line }
      let hub = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      _ = try await hub.append(message, to: "INBOX")
      _ = try await hub.append(try written("small"), to: "INBOX")
      let state = try await hub.select("INBOX")
      let page = try await hub.page(after: state.start)
      #expect(page.mails.count == 2)
      #expect(page.mails.first?.content == .whole(message))
      await hub.logOut()
      configuration.mailBytesMax = 1 << 20
      let small = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      let again = try await small.select("INBOX")
      let limited = try await small.page(after: again.start)
      #expect(limited.mails.count == 2)
      #expect(limited.mails.first?.content == .headerOnly(Array("Subject: large\r\n\r\n".utf8)))
      #expect(limited.mails.first?.size == UInt64(message.count))
      let expected = try written("small")
      #expect(limited.mails.last?.content == .whole(expected))
      await small.logOut()
      configuration.mailBytesMax = 25 << 20
      configuration.pageBytesMax = 1 << 20
      let narrow = try await TestDovecot.connect(configuration, on: shard.loop, blocking)
      _ = try await narrow.select("INBOX")
      let one = try await narrow.page(after: again.start)
      #expect(one.mails.count == 1 && !one.isLast)
      let two = try await narrow.page(after: one.cursor)
      #expect(two.mails.count == 1 && two.isLast)
      await narrow.logOut()
    }
  }

  @Test("mailbox names outside ASCII, and the mailbox for sent mail")
  func names() async throws {
    try await withSessions("names") { shard, hub, other in
      shard.loop.assertInLoop()
      for name in ["Entwürfe & mehr", "日本語/子", "a \"b\" \\c", "😀"] {
        try await other.createMailbox(name)
        let place = try await other.append(try written(name), to: name)
        let state = try await hub.select(name)
        #expect(place?.uidValidity == state.uidValidity)
        #expect(state.exists == 1)
        let page = try await hub.page(after: state.start)
        #expect(page.mails.count == 1 && page.mails.first?.uid == place?.uid)
      }
      let mailboxes = try await hub.mailboxes()
      #expect(Set(mailboxes.map(\.name)).isSuperset(of: ["INBOX", "Entwürfe & mehr", "日本語/子", "😀"]))
      #expect(mailboxes.first { $0.has("\\Sent") }?.name == "Sent")
      let missing = await imapFailure { () async throws(IMAPFailure) in
        _ = try await hub.append([65], to: "nowhere")
      }
      guard case .refused(let status)? = missing, status.code == .tryCreate else {
        Issue.record("\(String(describing: missing))")
        return
      }
      #expect(!hub.isClosed)
    }
  }

  @Test("removals are told in IDLE and leave the cursor where it is")
  func removals() async throws {
    try await withSessions("removals") { shard, hub, other in
      for number in 1...3 { _ = try await other.append(try written("gone \(number)"), to: "INBOX") }
      let state = try await hub.select("INBOX")
      let page = try await hub.page(after: state.start)
      _ = try await other.select("INBOX", isReadOnly: false)
      try await other.store(.add, ["\\Deleted"], uids: IMAPNumberSet([page.mails[0].uid, page.mails[2].uid]))
      try await other.perform(.expunge)
      var changes = try await hub.idle(until: shard.loop.now + .seconds(5))
      while !changes.isEmpty, !changes.hasRemovals {
        changes = try await hub.idle(until: shard.loop.now + .seconds(5))
      }
      #expect(changes.hasRemovals)
      let gone = try await hub.flagChanges(upTo: page.cursor.uid, since: state.highestModSeq)
      #expect(gone.vanished == IMAPNumberSet([page.mails[0].uid, page.mails[2].uid]))
      let rest = try await hub.page(after: state.start)
      #expect(rest.mails.map(\.uid) == [page.mails[1].uid])
    }
  }
}
