import Bytes
import EventLoop
import MailWire
import Testing

@testable import MailClient

/// How sending ends: the server's last words, or the failure.
private func outcome(
  _ configuration: SMTPClient.Configuration, _ draft: MailDraft, _ shard: isolated Shard,
  _ blocking: BlockingPool
) async throws -> Result<SMTPReply, SMTPFailure> {
  let client = SMTPClient(configuration, on: shard.loop, blocking: blocking)
  do throws(SMTPFailure) {
    return .success(try await client.send(draft, token: "tok").reply)
  } catch {
    return .failure(error)
  }
}

@Suite(
  "SMTP with aiosmtpd",
  .enabled(
    if: TestSMTPServer.isInstalled,
    "aiosmtpd is not installed: .build/venv/bin/pip install -r Tests/EndToEnd/requirements.txt"))
struct SMTPServerTests {
  @Test("a message arrives as it was written", arguments: [MailSecurity.none, .startTLS, .implicitTLS])
  func sends(security: MailSecurity) async throws {
    let server = try TestSMTPServer.server()
    var draft = MailDraft.sample("Grüße")
    draft.cc = [MailAddress(name: "Çelik", "c@example.test")]
    draft.attachments = [MailAttachment(name: "ä.bin", mediaType: "image/png", bytes: Array(0...255))]
    let final = draft
    let result = try await TestLoop.run { shard, blocking in
      try await outcome(server.configuration(security), final, shard, blocking)
    }
    let reply = try result.get()
    let (message, facts) = try server.kept(try #require(reply.text.split(separator: " ").last))
    #expect(message == (try MailWriter.write(final, token: "tok").bytes))
    #expect(facts["sender"] as? String == "ada@hub.test")
    #expect(facts["recipients"] as? [String] == ["bob@example.test", "c@example.test"])
    #expect(facts["tls"] as? Bool == (security != .none))
    #expect(facts["user"] as? String == (security == .none ? nil : "ada"))
    #expect(facts["hello"] as? String == "hub.test")
  }

  @Test("a text full of dots arrives as it was said")
  func dots() async throws {
    let server = try TestSMTPServer.server()
    var draft = MailDraft.sample("dots")
    draft.text = ".\n..\n.x\n\r\n.\r\nQUIT\n" + String(repeating: ".\n", count: 50_000)
    let final = draft
    let result = try await TestLoop.run { shard, blocking in
      try await outcome(server.configuration(.none), final, shard, blocking)
    }
    let (message, _) = try server.kept(try #require(try result.get().text.split(separator: " ").last))
    #expect(message == (try MailWriter.write(final, token: "tok").bytes))
  }

  @Test(
    "refusals say whether to try again",
    arguments: [
      ("rcpt550", "permanent", SMTPRefusal.Step.recipient), ("rcpt450", "temporary", .recipient),
      ("data554", "permanent", .message), ("data451", "temporary", .message),
    ] as [(String, String, SMTPRefusal.Step)])
  func refusals(recipient: String, kind: String, step: SMTPRefusal.Step) async throws {
    let server = try TestSMTPServer.server()
    let result = try await TestLoop.run { shard, blocking in
      try await outcome(
        server.configuration(.implicitTLS), .sample("x", to: "\(recipient)@example.test"), shard, blocking)
    }
    switch result {
    case .failure(.permanent(let refusal)): #expect(kind == "permanent" && refusal.step == step)
    case .failure(.temporary(let refusal)): #expect(kind == "temporary" && refusal.step == step)
    default: Issue.record("\(result)")
    }
  }

  @Test("a bad password is a matter of credentials; too large a message is refused before it is sent")
  func badPasswordAndSize() async throws {
    let server = try TestSMTPServer.server()
    let bad = try await TestLoop.run { shard, blocking in
      try await outcome(server.configuration(.startTLS, password: "wrong"), .sample("x"), shard, blocking)
    }
    guard case .failure(.credentials(let refusal)) = bad else {
      Issue.record("\(bad)")
      return
    }
    #expect(refusal.reply.code == 535)
    let large = try await TestLoop.run { shard, blocking in
      var draft = MailDraft.sample("large")
      draft.attachments = [
        MailAttachment(name: "a", mediaType: "", bytes: [UInt8](repeating: 0, count: 7 << 20))
      ]
      return try await outcome(server.configuration(.none), draft, shard, blocking)
    }
    guard case .failure(.permanent(let tooLarge)) = large else {
      Issue.record("\(large)")
      return
    }
    #expect(tooLarge.step == .unsayable && tooLarge.reply.code == 552)
  }

  @Test("an address outside ASCII is sent by SMTPUTF8")
  func utf8() async throws {
    let server = try TestSMTPServer.server()
    let result = try await TestLoop.run { shard, blocking in
      try await outcome(server.configuration(.none), .sample("x", to: "jürgen@example.test"), shard, blocking)
    }
    let (_, facts) = try server.kept(try #require(try result.get().text.split(separator: " ").last))
    #expect(facts["recipients"] as? [String] == ["jürgen@example.test"])
    #expect((facts["options"] as? [String])?.contains("SMTPUTF8") == true)
  }
}

@Suite("SMTP with servers that misbehave")
struct ScriptedSMTPTests {
  /// Says yes to everything up to the message.
  private static func admit(_ peer: ScriptedPeer) async {
    peer.say("220 mx")
    while let line = await peer.hear(), line != "DATA" { peer.say("250 ok") }
    peer.say("354 go on")
  }

  /// Reads the message. - Returns: false when the client left before its end.
  private static func message(_ peer: ScriptedPeer) async -> Bool {
    while let line = await peer.hear() {
      if line == "." { return true }
    }
    return false
  }

  private func send(
    _ draft: MailDraft = .sample("x"), _ script: @escaping @Sendable (ScriptedPeer) async -> Void,
    configure: @Sendable (inout SMTPClient.Configuration) -> Void = { _ in }
  ) async throws -> Result<SMTPReply, SMTPFailure> {
    try await TestLoop.run { shard, blocking in
      let server = try ScriptedServer(on: shard.loop, script)
      var configuration = server.smtp
      configure(&configuration)
      return try await outcome(configuration, draft, shard, blocking)
    }
  }

  @Test("cut after the dot: nobody knows")
  func cutAfterDot() async throws {
    let cut = try await send { peer in
      await Self.admit(peer)
      _ = await Self.message(peer)
    }
    #expect(cut == .failure(.unknown("the server closed the connection")))
    let silent = try await send { peer in
      await Self.admit(peer)
      _ = await Self.message(peer)
      _ = await peer.hear()
    } configure: {
      $0.verdictTimeout = .milliseconds(100)
    }
    #expect(silent == .failure(.unknown("the deadline passed")))
    let garbage = try await send { peer in
      await Self.admit(peer)
      _ = await Self.message(peer)
      peer.say("what?")
      _ = await peer.hear()
    }
    #expect(garbage == .failure(.unknown("the server does not speak SMTP: malformed")))
    let half = try await send { peer in
      await Self.admit(peer)
      _ = await Self.message(peer)
      await peer.say(bytes: Array("250 queu".utf8))
    }
    #expect(half == .failure(.unknown("the server closed the connection")))
  }

  @Test("cut before the dot, at each step: not sent")
  func cutBefore() async throws {
    for steps in 0..<5 {
      let result = try await send { peer in
        guard steps > 0 else { return }
        peer.say("220 mx")
        for _ in 1..<steps {
          _ = await peer.hear()
          peer.say("250 ok")
        }
        _ = await peer.hear()
      }
      guard case .failure(.notSent) = result else {
        Issue.record("after \(steps) steps: \(result)")
        return
      }
    }
    var draft = MailDraft.sample("large")
    draft.attachments = [
      MailAttachment(name: "a", mediaType: "", bytes: [UInt8](repeating: 0, count: 24 << 20))
    ]
    let inTheMiddle = try await send(draft) { peer in
      await Self.admit(peer)
      for _ in 0..<100 { _ = await peer.hear() }
    }
    guard case .failure(.notSent) = inTheMiddle else {
      Issue.record("\(inTheMiddle)")
      return
    }
    let slow = try await send { peer in
      _ = await peer.hear()
    } configure: {
      $0.replyTimeout = .milliseconds(100)
    }
    #expect(slow == .failure(.notSent("the deadline passed")))
  }

  @Test("accepted is accepted, whatever happens to QUIT")
  func quit() async throws {
    let result = try await send { peer in
      await Self.admit(peer)
      if await Self.message(peer) { peer.say("250 2.0.0 queued") }
    }
    #expect(result == .success(SMTPReply(250, ["2.0.0 queued"])))
  }

  @Test("a service that closes, before or after the dot, is a later")
  func closing() async throws {
    let reply = SMTPReply(421, ["4.3.2 shutting down"])
    let early = try await send { peer in peer.say("421 4.3.2 shutting down") }
    #expect(early == .failure(.temporary(SMTPRefusal(.greeting, reply))))
    let late = try await send { peer in
      await Self.admit(peer)
      _ = await Self.message(peer)
      peer.say("421 4.3.2 shutting down")
      _ = await peer.hear()
    }
    #expect(late == .failure(.temporary(SMTPRefusal(.message, reply))))
  }

  @Test("a stranger, an endless line, and a port where nobody listens")
  func strangers() async throws {
    for script: @Sendable (ScriptedPeer) async -> Void in [
      { peer in peer.say("HTTP/1.1 400 Bad Request") },
      { peer in await peer.say(bytes: [UInt8](repeating: UInt8(ascii: "2"), count: 1 << 20)) },
      { peer in
        for _ in 0..<1_000 { peer.say("220-more") }
        _ = await peer.hear()
      },
    ] {
      let result = try await send { peer in await script(peer) }
      guard case .failure(.notSent) = result else {
        Issue.record("\(result)")
        return
      }
    }
    let port = try TestFolder.freePort()
    let nobody = try await send { peer in
      peer.close()
    } configure: {
      $0.server.port = port
    }
    guard case .failure(.notSent) = nobody else {
      Issue.record("\(nobody)")
      return
    }
  }

  @Test("cancelled before the dot it is not sent, after it nobody knows")
  func cancellation() async throws {
    for isAfterDot in [false, true] {
      let result = try await TestLoop.run { shard, blocking in
        let server = try ScriptedServer(on: shard.loop) { peer in
          if isAfterDot {
            await Self.admit(peer)
            _ = await Self.message(peer)
          }
          _ = await peer.hear()
        }
        let configuration = server.smtp
        let task = Task { try await outcome(configuration, .sample("x"), shard, blocking) }
        try await shard.loop.sleep(for: .milliseconds(200))
        task.cancel()
        return try await task.value
      }
      #expect(result == .failure(isAfterDot ? .unknown("cancelled") : .notSent("cancelled")))
    }
  }
}
