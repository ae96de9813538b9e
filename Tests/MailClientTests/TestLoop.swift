import Bytes
import EventLoop
import MailWire
import Synchronization
import Testing

@testable import MailClient

enum TestLoop {
  /// Runs `body` on a loop of its own.
  static func run<R: Sendable>(
    _ body: @Sendable (isolated Shard, BlockingPool) async throws -> R
  ) async throws -> R {
    let loop = try EventLoop(name: "mail-test")
    defer { loop.shutDown() }
    let blocking = BlockingPool(threads: 2)
    return try await loop.shard.run { shard in try await body(shard, blocking) }
  }
}

/// The server's side of a connection, said by a test.
final class ScriptedPeer {
  private let socket: Socket
  private var buffer = ByteBuffer()

  init(_ socket: Socket) {
    self.socket = socket
  }

  var loop: EventLoop { socket.loop }

  func say(_ lines: String...) {
    socket.write(Array(lines.map { $0 + "\r\n" }.joined().utf8))
  }

  func say(bytes: [UInt8]) async {
    socket.write(bytes)
    try? await socket.drain(below: 1 << 20)
  }

  /// Waits until the kernel has what was said; a close loses the rest.
  func flush() async {
    try? await socket.drain(below: 0, deadline: socket.loop.now + .seconds(20))
  }

  /// The next line without its end; nil when the client is gone.
  func hear() async -> String? {
    while true {
      if let end = buffer.readable.firstIndex(of: 10) {
        let line = buffer.read(end - buffer.readable.startIndex + 1)
        return String(decoding: line.dropLast(2), as: UTF8.self)
      }
      let socket = socket
      var incoming = buffer
      buffer = ByteBuffer()
      let count = try? await socket.read(into: &incoming, deadline: socket.loop.now + .seconds(20))
      buffer = incoming
      guard let count, count > 0 else { return nil }
    }
  }

  /// Lets a client in by LOGIN and selects a mailbox.
  func admit(capabilities: String = "IMAP4rev1 IDLE", exists: Int = 0, uidNext: Int = 1) async {
    say("* OK [CAPABILITY \(capabilities)] hello")
    _ = await hear()
    say("A1 OK [CAPABILITY \(capabilities)] in")
    guard await hear() != nil else { return }
    say("* \(exists) EXISTS", "* OK [UIDVALIDITY 7] x", "* OK [UIDNEXT \(uidNext)] x", "A2 OK done")
  }

  func close() {
    socket.close()
  }
}

/// A server on loopback whose every connection follows the test's script.
struct ScriptedServer: Sendable {
  let listener: Listener

  init(on loop: EventLoop, _ script: @escaping @Sendable (ScriptedPeer) async -> Void) throws {
    listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    listener.accept { socket, shard in
      let peer = ScriptedPeer(socket)
      await script(peer)
      await peer.flush()
      shard.loop.assertInLoop()
    }
  }

  var server: MailServer {
    MailServer(
      host: "127.0.0.1", port: UInt16(listener.address.port ?? 0), security: .none, tls: nil)
  }

  var imap: IMAPConfiguration {
    IMAPConfiguration(server: server, credentials: MailCredentials(user: "u", password: "p"))
  }

  var smtp: SMTPClient.Configuration {
    SMTPClient.Configuration(server: server, credentials: nil, clientName: "hub.test")
  }
}

/// How an IMAP call ends, on the caller's loop: a closure given to `#expect` would leave it.
func imapFailure(
  isolation: isolated (any Actor)? = #isolation, _ body: () async throws(IMAPFailure) -> Void
) async -> IMAPFailure? {
  do throws(IMAPFailure) {
    try await body()
    return nil
  } catch {
    return error
  }
}

extension MailDraft {
  /// A message to `recipient` about `subject`.
  static func sample(_ subject: String, to recipient: String = "bob@example.test") -> MailDraft {
    var draft = MailDraft(
      from: MailAddress(name: "Ada", "ada@hub.test"), messageID: "\(subject.utf8.count).1@hub.test",
      date: Timestamp(seconds: 1_700_000_000))
    draft.to = [MailAddress(recipient)]
    draft.subject = subject
    draft.text = "Hello.\n.\nA line that was a dot stands above.\n"
    return draft
  }
}

func written(_ subject: String, to recipient: String = "bob@example.test") throws -> [UInt8] {
  try MailWriter.write(.sample(subject, to: recipient), token: "tok").bytes
}
