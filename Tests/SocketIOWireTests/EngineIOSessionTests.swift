import Testing

@testable import SocketIOWire

@Suite("EngineIOSession")
struct EngineIOSessionTests {
  private static let configuration = EngineIOConfiguration(
    pingIntervalMilliseconds: 300, pingTimeoutMilliseconds: 200, payloadBytesMax: 1_000, pollPacketsMax: 3)

  private func message(_ text: String) -> EngineIOPacket { .message(Array(text.utf8)) }

  private func polling() -> EngineIOSession {
    EngineIOSession(transport: .polling, configuration: Self.configuration, nowMilliseconds: 0)
  }

  private func onWebSocket(_ revision: EngineIORevision = .v4) -> EngineIOSession {
    EngineIOSession(
      transport: .websocket, revision: revision, configuration: Self.configuration, nowMilliseconds: 0)
  }

  private let probe = EngineIOPacket.ping(Array("probe".utf8))
  private let probeAnswer = EngineIOPacket.pong(Array("probe".utf8))

  @Test("The handshake is the JSON that clients expect")
  func handshake() {
    let packet = EngineIOSession.openPacket(
      id: "abc", transport: .polling, configuration: EngineIOConfiguration())
    #expect(
      packet
        == .open(
          Array(
            #"{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
              .utf8)))
    let direct = EngineIOSession.openPacket(
      id: "abc", transport: .websocket, configuration: Self.configuration)
    #expect(
      direct
        == .open(
          Array(#"{"sid":"abc","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000}"#.utf8)))
  }

  @Test("A poll is held until there is something, and what waits is given at once, in batches")
  func polls() {
    var session = polling()
    #expect(session.pollArrived() == [.holdPoll])
    #expect(session.send(message("1")) == [.answerHeldPoll([message("1")])])
    for text in ["2", "3", "4", "5"] { #expect(session.send(message(text)) == []) }
    #expect(session.queuedBytes == 8)
    #expect(session.pollArrived() == [.answerPoll([message("2"), message("3"), message("4")])])
    #expect(session.pollArrived() == [.answerPoll([message("5")])])
    #expect(session.queuedBytes == 0)
    #expect(session.pollArrived() == [.holdPoll])
  }

  @Test("An answer stays within the payload limit unless one packet alone is larger")
  func batchBytes() {
    var session = polling()
    let big = EngineIOPacket.message([UInt8](repeating: 65, count: 600))
    let huge = EngineIOPacket.message([UInt8](repeating: 65, count: 2_000))
    for packet in [big, big, huge, big] { #expect(session.send(packet) == []) }
    #expect(session.pollArrived() == [.answerPoll([big])])
    #expect(session.pollArrived() == [.answerPoll([big])])
    #expect(session.pollArrived() == [.answerPoll([huge])])
    #expect(session.pollArrived() == [.answerPoll([big])])
  }

  @Test("The answer to a handshake holds no more packets than another answer")
  func waitingWithTheHandshake() {
    var session = polling()
    for text in ["1", "2", "3"] { #expect(session.send(message(text)) == []) }
    #expect(session.takeWaiting() == [message("1"), message("2")])
    #expect(session.pollArrived() == [.answerPoll([message("3")])])
  }

  @Test("A second poll closes the session: the first gets a close packet, the second a refusal")
  func duplicatePoll() {
    var session = polling()
    #expect(session.pollArrived() == [.holdPoll])
    #expect(
      session.pollArrived() == [.refuse(.badRequest), .answerHeldPoll([.close]), .end(.protocolError)])
    #expect(session.pollArrived() == [.refuse(.unknownSession)])
    #expect(session.postArrived() == .unknownSession)
    #expect(session.send(message("late")) == [])
  }

  @Test("A poll that its client gives up ends the session")
  func lostPoll() {
    var session = polling()
    #expect(session.pollLost() == [])
    #expect(session.pollArrived() == [.holdPoll])
    #expect(session.pollLost() == [.end(.transportLost)])
  }

  @Test("Packets from the client")
  func packets() {
    var session = polling()
    #expect(session.postArrived() == nil)
    #expect(session.packetArrived(message("a"), nowMilliseconds: 0) == [.deliver(message("a"))])
    #expect(session.packetArrived(.binary([1]), nowMilliseconds: 0) == [.deliver(.binary([1]))])
    #expect(session.packetArrived(.noop, nowMilliseconds: 0) == [])
    #expect(session.pollArrived() == [.holdPoll])
    #expect(
      session.packetArrived(.close, nowMilliseconds: 0) == [.answerHeldPoll([.noop]), .end(.closedByPeer)])
    #expect(session.packetArrived(message("b"), nowMilliseconds: 0) == [])

    var wrong = onWebSocket()
    #expect(wrong.packetArrived(.ping([]), nowMilliseconds: 0) == [.end(.protocolError)])
  }

  @Test("The server pings, and a pong puts the next ping off")
  func heartbeat() {
    var session = onWebSocket()
    #expect(session.advance(nowMilliseconds: 299) == [])
    #expect(session.advance(nowMilliseconds: 300) == [.send([.ping([])])])
    #expect(session.nextDueMilliseconds == 500)
    #expect(session.packetArrived(.pong([]), nowMilliseconds: 310) == [])
    #expect(session.nextDueMilliseconds == 610)
    #expect(session.advance(nowMilliseconds: 500) == [])
    #expect(session.advance(nowMilliseconds: 620) == [.send([.ping([])])])
    #expect(session.advance(nowMilliseconds: 809) == [])
    #expect(session.advance(nowMilliseconds: 810) == [.end(.pingTimeout)])
    #expect(session.advance(nowMilliseconds: 900) == [])
  }

  @Test("A client that was not read is excused")
  func excuse() {
    var session = onWebSocket()
    #expect(session.advance(nowMilliseconds: 300) == [.send([.ping([])])])
    session.excuse(nowMilliseconds: 500)
    #expect(session.advance(nowMilliseconds: 600) == [])
    #expect(session.packetArrived(.pong([]), nowMilliseconds: 650) == [])
    #expect(session.nextDueMilliseconds == 950)
  }

  @Test("In protocol 3 the client pings")
  func heartbeatV3() {
    var session = onWebSocket(.v3)
    #expect(session.packetArrived(.ping([]), nowMilliseconds: 300) == [.send([.pong([])])])
    #expect(session.advance(nowMilliseconds: 500) == [])
    #expect(session.advance(nowMilliseconds: 800) == [.end(.pingTimeout)])
  }

  @Test("A ping waits for a poll")
  func pingOverPolling() {
    var session = polling()
    #expect(session.advance(nowMilliseconds: 300) == [])
    #expect(session.pollArrived() == [.answerPoll([.ping([])])])
    #expect(session.packetArrived(.pong([]), nowMilliseconds: 400) == [])
    #expect(session.pollArrived() == [.holdPoll])
    #expect(session.advance(nowMilliseconds: 700) == [.answerHeldPoll([.ping([])])])
    #expect(session.advance(nowMilliseconds: 900) == [.end(.pingTimeout)])
  }

  @Test("Upgrade with a held poll: it comes back with a noop, and the queue moves to the WebSocket in order")
  func upgradeWhileHeld() {
    var session = polling()
    #expect(session.pollArrived() == [.holdPoll])
    #expect(session.webSocketArrived() == [])
    #expect(session.transport == .polling)
    #expect(session.probePacketArrived(probe) == [.answerHeldPoll([.noop]), .sendProbe(probeAnswer)])
    #expect(session.send(message("1")) == [])
    #expect(session.send(message("2")) == [])
    #expect(session.probePacketArrived(.upgrade) == [.adoptProbe, .send([message("1"), message("2")])])
    #expect(session.transport == .websocket)
    #expect(session.queuedBytes == 0)
    #expect(session.send(message("3")) == [.send([message("3")])])
    #expect(session.pollArrived() == [.refuse(.badRequest)])
    #expect(session.postArrived() == .badRequest)
    #expect(session.webSocketArrived() == [.refuse(.badRequest)])
  }

  @Test("Between probe and upgrade polling still delivers, and no poll is held")
  func pollWhileProbed() {
    var session = polling()
    #expect(session.webSocketArrived() == [])
    #expect(session.pollArrived() == [.holdPoll])
    #expect(session.send(message("0")) == [.answerHeldPoll([message("0")])])
    #expect(session.probePacketArrived(probe) == [.sendProbe(probeAnswer)])
    #expect(session.pollArrived() == [.answerPoll([.noop])])
    #expect(session.send(message("1")) == [])
    #expect(session.pollArrived() == [.answerPoll([message("1")])])
    #expect(session.packetArrived(message("up"), nowMilliseconds: 0) == [.deliver(message("up"))])
    #expect(session.probePacketArrived(.upgrade) == [.adoptProbe])
  }

  @Test("A probe that is lost, speaks out of turn or comes twice leaves polling as it was")
  func failedProbes() {
    var session = polling()
    #expect(session.pollArrived() == [.holdPoll])
    #expect(session.webSocketArrived() == [])
    #expect(session.webSocketArrived() == [.refuse(.badRequest)])
    #expect(session.probeEnded() == [])
    #expect(session.webSocketArrived() == [])
    #expect(session.probePacketArrived(.upgrade) == [.closeProbe])
    #expect(session.probePacketArrived(probe) == [])
    #expect(session.webSocketArrived() == [])
    #expect(session.probePacketArrived(message("early")) == [.closeProbe])
    #expect(session.send(message("1")) == [.answerHeldPoll([message("1")])])
  }

  @Test("Closing from this side lets what waits arrive first")
  func closing() {
    var webSocket = onWebSocket()
    #expect(webSocket.close(nowMilliseconds: 0) == [.send([.close]), .end(.closedByServer)])
    #expect(webSocket.close(nowMilliseconds: 0) == [])

    var held = polling()
    #expect(held.pollArrived() == [.holdPoll])
    #expect(held.close(nowMilliseconds: 0) == [.answerHeldPoll([.close]), .end(.closedByServer)])

    var queued = polling()
    for text in ["1", "2", "3"] { #expect(queued.send(message(text)) == []) }
    #expect(queued.close(nowMilliseconds: 1_000) == [])
    #expect(queued.send(message("late")) == [])
    #expect(queued.packetArrived(message("late"), nowMilliseconds: 1_000) == [])
    #expect(queued.pollArrived() == [.answerPoll([message("1"), message("2"), message("3")])])
    #expect(queued.pollArrived() == [.answerPoll([.close]), .end(.closedByServer)])

    var gone = polling()
    #expect(gone.close(nowMilliseconds: 1_000) == [])
    #expect(gone.advance(nowMilliseconds: 1_199) == [])
    #expect(gone.advance(nowMilliseconds: 1_200) == [.end(.pingTimeout)])
  }

  @Test("A WebSocket that ends takes the session with it")
  func webSocketEnds() {
    var session = onWebSocket()
    #expect(session.webSocketEnded(byPeer: true) == [.end(.closedByPeer)])
    #expect(session.webSocketEnded(byPeer: true) == [])
    var lost = onWebSocket()
    #expect(lost.webSocketEnded(byPeer: false) == [.end(.transportLost)])
  }
}
