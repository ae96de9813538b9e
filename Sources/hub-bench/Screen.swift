import Bytes
import EventLoop
import SocketIOWire
import WebSocketWire

/// A Socket.IO client as small as can be: WebSocket from the start, Engine.IO 4, the default namespace,
/// authenticated by the `authenticate` event. Answers pings for as long as it listens.
actor Screen {
  /// Called with the bytes of each event packet and the time of its arrival.
  typealias Receiver = @Sendable (_ payload: [UInt8], _ arrival: LoopInstant) -> Void

  private static let eventMark = Array("42".utf8)

  nonisolated let loop: EventLoop
  private let address: SocketAddress
  private let receive: Receiver
  private var socket: Socket?
  private var inbound = ByteBuffer()
  private var machine = WebSocketStateMachine(role: .client)
  private var maskKey: UInt32 = 0x5eed_1234
  /// Why it stopped listening without being asked to.
  private(set) var failure: BenchFailure?
  private var isClosing = false

  init(loop: EventLoop, address: SocketAddress, receive: @escaping Receiver = { _, _ in }) {
    self.loop = loop
    self.address = address
    self.receive = receive
  }

  nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// Connects and authenticates, then listens until `close`.
  func open(token: String, deadline: LoopInstant) async throws {
    try await upgrade(deadline)
    try await expect("0", "the Engine.IO handshake", deadline)
    send("40")
    try await expect("40", "the CONNECT answer", deadline)
    send("42[\"authenticate\",{\"token\":\"\(token)\"}]")
    try await expect("42[\"authenticated\"", "authenticated", deadline)
    // Without a task: the load shares the machine with what it measures.
    socket?.onUnreadInput = { self.assumeIsolated { $0.inputArrived() } }
    inputArrived()
  }

  func close() {
    isClosing = true
    socket?.close()
  }

  private func upgrade(_ deadline: LoopInstant) async throws {
    let socket = try await Socket.connect(to: address, on: loop, deadline: deadline)
    self.socket = socket
    socket.write(
      Array(
        ("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: \(address)\r\n"
          + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
          + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").utf8))
    while true {
      if let status = try AnswerScanner.read(&inbound, hasBody: false) {
        guard status == 101 else { throw BenchFailure("the WebSocket handshake was answered \(status)") }
        return
      }
      try await readMore(deadline)
    }
  }

  private func expect(_ prefix: String, _ what: String, _ deadline: LoopInstant) async throws {
    let packet = try await nextPacket(deadline)
    guard packet.starts(with: prefix.utf8) else {
      throw BenchFailure("instead of \(what) came \(String(decoding: packet.prefix(200), as: UTF8.self))")
    }
  }

  private func inputArrived() {
    do {
      while let socket, let count = try socket.readAvailable(into: &inbound) {
        guard count > 0 else { throw BenchFailure("the hub closed the connection") }
        while let packet = try packet() {
          if packet.starts(with: Self.eventMark) { receive(packet, LoopInstant.current()) }
        }
      }
    } catch {
      if !isClosing { failure = BenchFailure("a screen was cut off: \(error)") }
      socket?.close()
    }
  }

  /// The next Engine.IO packet that is not a ping.
  private func nextPacket(_ deadline: LoopInstant?) async throws -> [UInt8] {
    while true {
      if let packet = try packet() { return packet }
      try await readMore(deadline)
    }
  }

  /// nil: it has not arrived yet.
  private func packet() throws -> [UInt8]? {
    while true {
      switch machine.read(&inbound) {
      case .deliver(let message):
        if message.bytes.first != UInt8(ascii: "2") { return message.bytes }
        send("3")
      case .sendPong(let payload): sendFrame(.pong, payload)
      case .needMoreData: return nil
      case .pongReceived: continue
      case .answerClose(let received, _), .closeTransport(let received):
        throw BenchFailure("closed with \(received.code.rawValue) \(received.reason)")
      case .fail(let fault, _): throw BenchFailure("\(fault)")
      case .ignoreRest: throw BenchFailure("closed")
      }
    }
  }

  private func readMore(_ deadline: LoopInstant?) async throws {
    guard let socket else { throw BenchFailure("not connected") }
    var buffer = inbound
    inbound = ByteBuffer()
    let count = try await socket.read(into: &buffer, deadline: deadline)
    inbound = buffer
    guard count > 0 else { throw BenchFailure("the hub closed the connection") }
  }

  private func send(_ packet: String) {
    sendFrame(.text, Array(packet.utf8))
  }

  private func sendFrame(_ opcode: WebSocketOpcode, _ payload: [UInt8]) {
    maskKey = maskKey &* 1_664_525 &+ 1_013_904_223
    socket?.write(FrameWriter.frame(opcode, payload, maskKey: maskKey))
  }
}
