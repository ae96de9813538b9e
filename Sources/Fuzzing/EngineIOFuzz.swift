import SocketIOWire

/// Engine.IO payloads, and packets alone.
enum EngineIOFuzz {
  private static let packetsMax = 8

  static func revision4(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    try expectPacket(input, .v4)
    try expectPayload(input, .text, .v4)
    try expectJoined(input, .text, .v4, by: [0x1e])
  }

  /// The first byte says whether the payload is text or bytes.
  static func revision3(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    guard let flags = input.first else { return }
    let form: EngineIOPayload.Form = flags & 1 == 0 ? .text : .binary
    let body = Array(input.dropFirst())
    try expectPacket(body, .v3)
    try expectPayload(body, form, .v3)
    try expectJoined(body, form, .v3, by: [])
  }

  private static func decode(
    _ body: [UInt8], _ form: EngineIOPayload.Form, _ revision: EngineIORevision, max: Int = packetsMax
  ) -> [EngineIOPacket]? {
    try? EngineIOPayload.decode(body, form, revision: revision, packetsMax: max)
  }

  /// A packet on a WebSocket is written as it was read, or reads the same.
  private static func expectPacket(_ message: [UInt8], _ revision: EngineIORevision) throws(FuzzFinding) {
    if let packet = try? EngineIOPacket(text: message, revision: revision) {
      var text: [UInt8] = []
      packet.appendText(to: &text, revision: revision)
      if case .binary = packet {
        // The same bytes may be written in more than one way as base64.
        try expect(
          (try? EngineIOPacket(text: text, revision: revision)) == packet, "written as \(text)")
        try expect(packet.byteCount <= message.count, "counted as \(packet.byteCount) bytes")
      } else {
        try expect(text == message, "written as \(text)")
        try expect(packet.byteCount == message.count, "counted as \(packet.byteCount) bytes")
      }
    }
    if case .binary(let content)? = try? EngineIOPacket(binary: message, revision: revision) {
      try expect((revision == .v3 ? [4] : []) + content == message, "read as \(content)")
    }
  }

  /// What was read and is written again reads the same.
  private static func expectPayload(
    _ body: [UInt8], _ form: EngineIOPayload.Form, _ revision: EngineIORevision
  ) throws(FuzzFinding) {
    guard let packets = decode(body, form, revision) else { return }
    try expect(!packets.isEmpty && packets.count <= packetsMax, "\(packets.count) packets")
    try expect(packets.reduce(0) { $0 + $1.byteCount } <= body.count, "more than came")
    for case .message(let text) in packets {
      try expect(String(validating: text, as: UTF8.self) != nil, "text that is not UTF-8: \(text)")
    }
    let written = EngineIOPayload.encode(packets, form, revision: revision)
    try expect(decode(written, form, revision) == packets, "written as \(written)")
  }

  /// Two payloads joined are the packets of both; this is also a payload cut in two.
  private static func expectJoined(
    _ body: [UInt8], _ form: EngineIOPayload.Form, _ revision: EngineIORevision, by separator: [UInt8]
  ) throws(FuzzFinding) {
    var places = Places(of: body)
    let cut = places.next(below: body.count + 1)
    let parts = [Array(body[..<cut]), Array(body[cut...])]
    guard let front = decode(parts[0], form, revision), let back = decode(parts[1], form, revision) else {
      return
    }
    let joined = decode(parts[0] + separator + parts[1], form, revision, max: 2 * packetsMax)
    try expect(joined == front + back, "joined at \(cut): \(String(describing: joined))")
  }
}
