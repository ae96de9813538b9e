import Bytes
import EventLoop
import HTTPClient
import Messaging
import Platforms
import Synchronization
import Testing

@testable import Hub

/// A caller and a server on one loop.
struct CallingFixture: Sendable {
  typealias Script = @Sendable (Socket, String) async throws -> Void

  let loop: EventLoop
  let caller: PlatformCaller

  static func run<R: Sendable>(
    files: [String: [UInt8]] = [:], _ body: @escaping @Sendable (CallingFixture) async throws -> R
  ) async throws -> R {
    let loop = try EventLoop(name: "calling-test")
    defer { loop.shutDown() }
    let client = HTTPClient(
      loop: loop, blocking: BlockingPool(),
      configuration: HTTPClient.Configuration(tls: try TLSContext(clientTrusting: nil)))
    let fixture = CallingFixture(
      loop: loop,
      caller: PlatformCaller(
        client: client, files: MemoryFiles(files), allowsPrivateAddresses: true, fileBytesMax: 1 << 20))
    return try await loop.shard.run { shard in
      precondition(shard.loop.inLoop)
      return try await body(fixture)
    }
  }

  /// A server that says what the script says, given each request whole. - Returns: its URL.
  func serve(_ script: @escaping Script) throws -> String {
    let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
    listener.accept { socket, shard in
      guard let request = try? await Self.request(socket) else { return }
      try? await script(socket, request)
      try? await socket.drain(below: 0, deadline: shard.loop.now + .seconds(2))
    }
    return "http://\(listener.address)"
  }

  private static func request(_ socket: Socket) async throws -> String? {
    var buffer = ByteBuffer()
    while try await socket.read(into: &buffer, deadline: socket.loop.now + .seconds(10)) > 0 {
      let text = String(decoding: buffer.readable, as: UTF8.self)
      guard let end = text.firstRange(of: "\r\n\r\n") else { continue }
      let length = text.firstMatch(of: /(?i)content-length: (\d+)/).flatMap { Int($0.output.1) } ?? 0
      if text[end.upperBound...].utf8.count >= length { return text }
    }
    return nil
  }
}

extension Socket {
  func say(_ text: String) { write(Array(text.utf8)) }

  /// Waits until the other side closes.
  func waitForEnd() async {
    var buffer = ByteBuffer()
    while let count = try? await read(into: &buffer, deadline: loop.now + .seconds(10)), count > 0 {}
  }
}

/// Files in memory, to be read only.
private struct MemoryFiles: FileStore {
  let sliceBytes = 1 << 16
  let files: [String: [UInt8]]

  init(_ files: [String: [UInt8]]) { self.files = files }

  func writer(_ key: String) async throws -> any FileWriter {
    throw FileStoreError.unavailable("to be read only")
  }
  func delete(_ key: String) async throws { throw FileStoreError.unavailable("to be read only") }
  func size(_ key: String) async throws -> Int64? { files[key].map { Int64($0.count) } }

  func read(_ key: String, _ range: Range<Int64>) async throws -> [UInt8] {
    guard let bytes = files[key] else { throw FileStoreError.missing }
    return Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
  }
}
