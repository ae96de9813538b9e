import Bytes
import EventLoop
import MailWire
import Testing

@testable import MailClient

@Suite("IMAP with servers that misbehave")
struct ScriptedIMAPTests {
  /// How a session with the scripted server ends.
  private func failure(
    _ script: @escaping @Sendable (ScriptedPeer) async -> Void,
    configure: @Sendable (inout IMAPConfiguration) -> Void = { _ in },
    session: @Sendable (IMAPClient) async throws(IMAPFailure) -> Void = { _ in }
  ) async throws -> IMAPFailure? {
    try await TestLoop.run { shard, blocking in
      let server = try ScriptedServer(on: shard.loop, script)
      var configuration = server.imap
      configure(&configuration)
      let final = configuration
      return await imapFailure { () async throws(IMAPFailure) in
        let client = try await IMAPClient.connect(final, on: shard.loop, blocking: blocking)
        try await session(client)
      }
    }
  }

  @Test("nobody listens, nobody answers")
  func unreachable() async throws {
    try await TestLoop.run { shard, blocking in
      let port = try TestFolder.freePort()
      for host in ["127.0.0.1", "localhost"] {
        let server = MailServer(host: host, port: port, security: .none, tls: nil)
        let configuration = IMAPConfiguration(
          server: server, credentials: MailCredentials(user: "u", password: "p"))
        let failure = await imapFailure { () async throws(IMAPFailure) in
          _ = try await IMAPClient.connect(configuration, on: shard.loop, blocking: blocking)
        }
        guard case .connection? = failure else {
          Issue.record("\(String(describing: failure))")
          return
        }
      }
    }
    let silent = try await failure { peer in
      _ = await peer.hear()
    } configure: {
      $0.server.connectTimeout = .milliseconds(100)
    }
    #expect(silent == .timedOut)
  }

  @Test("garbage, a stranger's greeting, and an end in the middle")
  func garbage() async throws {
    let http = try await failure { peer in peer.say("HTTP/1.1 400 Bad Request") }
    #expect(http == .malformed(.malformed("status")))
    let endless = try await failure { peer in
      for _ in 0..<40 { await peer.say(bytes: [UInt8](repeating: UInt8(ascii: "x"), count: 65_536)) }
    }
    #expect(endless == .malformed(.lineTooLong(limitBytes: 1 << 20)))
    let cut = try await failure { peer in
      peer.say("* OK [CAPABILITY IMAP4rev1] x")
      _ = await peer.hear()
    }
    #expect(cut == .connection("the server closed the connection"))
    let busy = try await failure { peer in peer.say("* BYE too many connections") }
    #expect(busy == .unavailable("too many connections"))
  }

  @Test("a literal bomb is refused before a byte of it is taken")
  func literalBomb() async throws {
    let bomb = try await failure { peer in
      await peer.admit(exists: 1, uidNext: 2)
      _ = await peer.hear()
      peer.say("* 1 FETCH (UID 1 BODY[] {4294967295}")
      _ = await peer.hear()
    } session: { (client) async throws(IMAPFailure) in
      _ = try await client.select("INBOX")
      _ = try await client.page(after: MailCursor(uidValidity: 7, uid: 0))
    }
    #expect(bomb == .malformed(.literalTooLong(limitBytes: (25 << 20) + 1)))
  }

  @Test("many bodies beyond their sizes do not add up")
  func understatedSizes() async throws {
    let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: 1_000)
    let text = String(decoding: bytes, as: UTF8.self)
    let outcome = try await failure { peer in
      await peer.admit(exists: 50, uidNext: 51)
      _ = await peer.hear()
      peer.say("* SEARCH \((1...50).map(String.init).joined(separator: " "))", "A3 OK")
      _ = await peer.hear()
      for uid in 1...50 { peer.say("* \(uid) FETCH (UID \(uid) FLAGS () RFC822.SIZE 1)") }
      peer.say("A4 OK")
      _ = await peer.hear()
      for uid in 1...50 { peer.say("* \(uid) FETCH (UID \(uid) BODY[]<0> {1000}", "\(text))") }
      peer.say("A5 OK")
      _ = await peer.hear()
    } configure: {
      $0.mailBytesMax = 1_000
      $0.headerBytesMax = 100
      $0.pageBytesMax = 2_000
    } session: { (client) async throws(IMAPFailure) in
      _ = try await client.select("INBOX")
      _ = try await client.page(after: MailCursor(uidValidity: 7, uid: 0))
    }
    #expect(outcome == .unexpected("more bytes than the messages' sizes said"))
  }

  @Test("one message that the server cannot read does not hold up the others; one with a wrong size is cut")
  func poison() async throws {
    try await TestLoop.run { shard, blocking in
      let server = try ScriptedServer(on: shard.loop) { peer in
        await peer.admit(exists: 3, uidNext: 4)
        _ = await peer.hear()
        // The highest message comes for a range beyond it, and must be left out.
        peer.say("* SEARCH 1 2 3", "A3 OK")
        _ = await peer.hear()
        for uid in 1...3 { peer.say("* \(uid) FETCH (UID \(uid) FLAGS () RFC822.SIZE 20)") }
        peer.say("A4 OK")
        _ = await peer.hear()
        peer.say("A5 NO [SERVERBUG] cannot read")
        for number in 6...8 {
          let line = await peer.hear() ?? ""
          if line.contains("FETCH 1 ") { peer.say("* 1 FETCH (UID 1 BODY[]<0> {9}", "A: b\r\n\r\nx)") }
          if line.contains("FETCH 3 ") {
            let long = "A: b\r\n\r\n" + String(repeating: "y", count: 93)
            peer.say("* 3 FETCH (UID 3 BODY[]<0> {\(long.utf8.count)}", "\(long))")
          }
          peer.say(line.contains("FETCH 2 ") ? "A\(number) NO no" : "A\(number) OK")
        }
        _ = await peer.hear()
        peer.say("* SEARCH 3", "A9 OK")
        _ = await peer.hear()
      }
      var configuration = server.imap
      configuration.mailBytesMax = 100
      let client = try await IMAPClient.connect(configuration, on: shard.loop, blocking: blocking)
      let state = try await client.select("INBOX")
      let page = try await client.page(after: state.start)
      let header = Array("A: b\r\n\r\n".utf8)
      #expect(
        page.mails.map(\.content) == [.whole(header + [UInt8(ascii: "x")]), .missing, .headerOnly(header)])
      #expect(page.cursor.uid == 3)
      let empty = try await client.page(after: page.cursor)
      #expect(empty.mails.isEmpty)
      client.close()
    }
  }

  @Test("a silent server is left at the deadline, a slow one is waited for")
  func slow() async throws {
    let silent = try await failure { peer in
      await peer.admit()
      _ = await peer.hear()
      _ = await peer.hear()
    } configure: {
      $0.answerTimeout = .milliseconds(150)
    } session: { (client) async throws(IMAPFailure) in
      _ = try await client.select("INBOX")
      _ = try await client.mailboxes()
    }
    #expect(silent == .timedOut)
    let slow = try await failure { peer in
      await peer.admit()
      _ = await peer.hear()
      for byte in Array("* LIST () NIL x\r\nA3 OK x\r\n".utf8) {
        await peer.say(bytes: [byte])
        try? await peer.loop.sleep(for: .milliseconds(30))
      }
      _ = await peer.hear()
    } configure: {
      $0.answerTimeout = .milliseconds(400)
    } session: { (client) async throws(IMAPFailure) in
      _ = try await client.select("INBOX")
      _ = try await client.mailboxes()
    }
    #expect(slow == nil)
  }

  @Test("a cancelled IDLE ends at once and closes the connection")
  func cancellation() async throws {
    try await TestLoop.run { shard, blocking in
      let server = try ScriptedServer(on: shard.loop) { peer in
        await peer.admit()
        _ = await peer.hear()
        peer.say("+ idling")
        _ = await peer.hear()
      }
      let configuration = server.imap
      let task = Task {
        _ = shard
        return await imapFailure { () async throws(IMAPFailure) in
          let client = try await IMAPClient.connect(configuration, on: shard.loop, blocking: blocking)
          _ = try await client.select("INBOX")
          _ = try await client.idle(until: shard.loop.now + .seconds(60))
        }
      }
      try await shard.loop.sleep(for: .milliseconds(200))
      let start = LoopInstant.current()
      task.cancel()
      #expect(await task.value == .cancelled)
      // Far from the minute that it would have lasted.
      #expect(LoopInstant.current() - start < .seconds(10))
    }
  }

  @Test("a server without IDLE is asked again and again; what is told meanwhile is not lost")
  func polling() async throws {
    try await TestLoop.run { shard, blocking in
      let server = try ScriptedServer(on: shard.loop) { peer in
        await peer.admit(capabilities: "IMAP4rev1", exists: 1, uidNext: 2)
        for number in 3...5 {
          guard await peer.hear() == "A\(number) NOOP" else { return peer.close() }
          if number == 5 { peer.say("* 2 EXISTS") }
          peer.say("A\(number) OK")
        }
        _ = await peer.hear()
        peer.say("* 3 EXISTS", "* SEARCH 2", "A6 OK")
        _ = await peer.hear()
        peer.say("A7 OK")
        _ = await peer.hear()
      }
      var configuration = server.imap
      configuration.pollInterval = .milliseconds(20)
      let client = try await IMAPClient.connect(configuration, on: shard.loop, blocking: blocking)
      let state = try await client.select("INBOX")
      let first = try await client.idle(until: shard.loop.now + .seconds(5))
      #expect(first.hasNewMail)
      _ = try await client.page(after: state.end)
      // Told while the page was fetched.
      let second = try await client.idle(until: shard.loop.now + .seconds(5))
      #expect(second.hasNewMail)
      client.close()
    }
  }

  @Test("bytes that come before the TLS handshake are not believed")
  func injectedBeforeTLS() async throws {
    let outcome = try await failure { peer in
      peer.say("* OK [CAPABILITY IMAP4rev1 STARTTLS] x")
      _ = await peer.hear()
      peer.say("A1 OK go", "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] injected")
      _ = await peer.hear()
    } configure: {
      $0.server.security = .startTLS
      $0.server.tls = try? TLSContext(clientTrusting: nil)
    }
    #expect(outcome == .connection("TLS: the server spoke before the handshake"))
  }
}
