import Bytes
import EventLoop
import HTTPClient
import Testing

/// A proxy on a loop of its own: answers plain requests itself, and joins the two ends of a tunnel.
final class TestProxy: Sendable {
  let loop: EventLoop
  let address: SocketAddress
  private let listener: Listener
  /// The heads of what it was asked.
  let heard = Box<[String]>([])

  /// - Parameters:
  ///   - answer: to a plain request.
  ///   - tunnel: the answer to CONNECT.
  init(answer: String = Peer.ok, tunnel: String = "HTTP/1.1 200 Connection established\r\n\r\n") throws {
    loop = try EventLoop(name: "proxy-test")
    listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    address = listener.address
    let heard = heard
    listener.accept { socket, shard in
      let peer = Peer(socket: socket, number: 0)
      while let text = try? await peer.hear() {
        heard.change { $0.append(text) }
        guard text.hasPrefix("CONNECT ") else {
          peer.say(answer)
          continue
        }
        peer.say(tunnel)
        guard tunnel.contains(" 200 ") else { continue }
        return await Self.join(socket, to: String(text.split(separator: " ")[1]), shard.loop)
      }
    }
  }

  func stop() {
    loop.shutDown()
  }

  private static func join(_ client: Socket, to target: String, _ loop: EventLoop) async {
    // Every name is this machine.
    let port = target.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
    guard let address = SocketAddress(host: "127.0.0.1", port: port),
      let server = try? await Socket.connect(to: address, on: loop)
    else { return }
    loop.spawn { shard in
      shard.loop.assertInLoop()
      await pass(from: server, to: client)
    }
    await pass(from: client, to: server)
  }

  private static func pass(from source: Socket, to target: Socket) async {
    var buffer = ByteBuffer()
    while let count = try? await source.read(into: &buffer), count > 0 { target.write(buffer.readAll()) }
    target.closeAfterFlush(deadline: target.loop.now + .seconds(1))
  }
}
