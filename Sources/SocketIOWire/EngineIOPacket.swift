import Bytes

/// The revision of Engine.IO that a client speaks, `EIO` in its query. 4 goes with Socket.IO
/// protocol 5, 3 with Socket.IO protocols 3 and 4.
package enum EngineIORevision: Int, Sendable {
  case v3 = 3
  case v4 = 4
}

/// One Engine.IO packet, alone or in a polling payload.
///
/// Protocol 4 (socket.io repository, docs/engine.io-protocol/v4-current.md): a packet is a digit and its
/// text; binary goes as it is over a WebSocket and as `b` with base64 over polling, where packets are
/// joined by the record separator. Protocol 3 (v3.md) differs in the joining (a length in UTF-16
/// units before each packet), in the first byte of binary, and in who pings.
package enum EngineIOPacket: Sendable, Equatable {
  /// The handshake's JSON.
  case open([UInt8])
  case close
  case ping([UInt8])
  case pong([UInt8])
  /// Text for the layer above, without the leading digit.
  case message([UInt8])
  /// Binary for the layer above.
  case binary([UInt8])
  case upgrade
  case noop
}

/// What a peer's packet or payload may not be.
package enum EngineIOParseError: Error, Sendable, Equatable {
  case emptyPacket
  case unknownType(UInt8)
  /// A packet that carries nothing carried something.
  case unexpectedContent
  case badBase64
  /// Text in a payload that is not UTF-8. A WebSocket's text is checked before it comes here.
  case badUTF8
  /// Protocol 3: the length before a packet is wrong.
  case badLength
  case tooManyPackets(limit: Int)
}

extension EngineIOPacket {
  /// Reads the text form of one packet: a WebSocket's text message, or one packet of a payload. `b` stands
  /// before base64: in payloads, and on the WebSocket of a client that sends no bytes.
  package init(
    text: some RandomAccessCollection<UInt8>, revision: EngineIORevision
  ) throws(EngineIOParseError) {
    guard let type = text.first else { throw .emptyPacket }
    let content = Array(text.dropFirst())
    switch type {
    case UInt8(ascii: "0"): self = .open(content)
    case UInt8(ascii: "1"): self = .close
    case UInt8(ascii: "2"): self = .ping(content)
    case UInt8(ascii: "3"): self = .pong(content)
    case UInt8(ascii: "4"): self = .message(content)
    case UInt8(ascii: "5"): self = .upgrade
    case UInt8(ascii: "6"): self = .noop
    case UInt8(ascii: "b"):
      var digits = content[...]
      if revision == .v3 {
        guard let inner = digits.popFirst() else { throw .emptyPacket }
        guard inner == UInt8(ascii: "4") else { throw .unknownType(inner) }
      }
      guard let bytes = Base64.decode(String(decoding: digits, as: UTF8.self)) else { throw .badBase64 }
      self = .binary(bytes)
    default: throw .unknownType(type)
    }
    switch self {
    case .close, .upgrade, .noop:
      guard content.isEmpty else { throw .unexpectedContent }
    case .open, .ping, .pong, .message, .binary: break
    }
  }

  /// Reads a WebSocket's binary message.
  package init(binary: [UInt8], revision: EngineIORevision) throws(EngineIOParseError) {
    switch revision {
    case .v4: self = .binary(binary)
    case .v3:
      guard let type = binary.first else { throw .emptyPacket }
      guard type == 4 else { throw .unknownType(type) }
      self = .binary(Array(binary.dropFirst()))
    }
  }

  /// Appends the text form: what a WebSocket's text message holds. Binary is written as base64.
  package func appendText(to output: inout [UInt8], revision: EngineIORevision) {
    switch self {
    case .open(let content): output.append(UInt8(ascii: "0")); output.append(contentsOf: content)
    case .close: output.append(UInt8(ascii: "1"))
    case .ping(let content): output.append(UInt8(ascii: "2")); output.append(contentsOf: content)
    case .pong(let content): output.append(UInt8(ascii: "3")); output.append(contentsOf: content)
    case .message(let content): output.append(UInt8(ascii: "4")); output.append(contentsOf: content)
    case .binary(let bytes):
      output.append(UInt8(ascii: "b"))
      if revision == .v3 { output.append(UInt8(ascii: "4")) }
      output.append(contentsOf: Base64.encode(bytes).utf8)
    case .upgrade: output.append(UInt8(ascii: "5"))
    case .noop: output.append(UInt8(ascii: "6"))
    }
  }

  /// Whether a payload of revision 3 with this packet is written in binary form where the client can: binary
  /// is shorter so, and characters outside the basic plane are safe from clients that count them as one
  /// (python-engineio 3 does).
  package var isBetterInBytes: Bool {
    switch self {
    case .binary: true
    case .open(let content), .ping(let content), .pong(let content), .message(let content):
      content.contains { $0 >= 0xf0 }
    case .close, .upgrade, .noop: false
    }
  }

  /// Bytes that the packet costs while it waits.
  package var byteCount: Int {
    switch self {
    case .open(let content), .ping(let content), .pong(let content), .message(let content): content.count + 1
    case .binary(let bytes): bytes.count + 1
    case .close, .upgrade, .noop: 1
    }
  }
}

/// What one polling request or answer carries: packets in order.
package enum EngineIOPayload {
  /// How binary travels.
  package enum Form: Sendable {
    /// As base64.
    case text
    /// As it is: revision 3, between peers that both can.
    case binary
  }

  private static let recordSeparator: UInt8 = 0x1e
  /// Behind the length of a packet in binary form.
  private static let lengthEnd: UInt8 = 0xff

  /// Joins packets for the answer to a poll.
  package static func encode(
    _ packets: [EngineIOPacket], _ form: Form = .text, revision: EngineIORevision
  ) -> [UInt8] {
    form == .binary ? encodeBinary(packets) : encodeText(packets, revision: revision)
  }

  private static func encodeBinary(_ packets: [EngineIOPacket]) -> [UInt8] {
    var output: [UInt8] = []
    for packet in packets {
      var content: [UInt8] = []
      if case .binary(let bytes) = packet {
        output.append(1)
        content = [4] + bytes
      } else {
        output.append(0)
        packet.appendText(to: &content, revision: .v3)
      }
      output.append(contentsOf: String(content.count).utf8.map { $0 - UInt8(ascii: "0") })
      output.append(lengthEnd)
      output.append(contentsOf: content)
    }
    return output
  }

  private static func encodeText(_ packets: [EngineIOPacket], revision: EngineIORevision) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(packets.reduce(0) { $0 + $1.byteCount + 8 })
    for (index, packet) in packets.enumerated() {
      switch revision {
      case .v4:
        if index > 0 { output.append(recordSeparator) }
        packet.appendText(to: &output, revision: revision)
      case .v3:
        var text: [UInt8] = []
        packet.appendText(to: &text, revision: revision)
        output.append(contentsOf: String(utf16Count(text[...])).utf8)
        output.append(UInt8(ascii: ":"))
        output.append(contentsOf: text)
      }
    }
    return output
  }

  /// Splits the body of a POST. It must hold at least one packet and at most `packetsMax`.
  package static func decode(
    _ body: [UInt8], _ form: Form = .text, revision: EngineIORevision, packetsMax: Int
  ) throws(EngineIOParseError) -> [EngineIOPacket] {
    if form == .text { try checkUTF8(body[...]) }
    var packets: [EngineIOPacket] = []
    var rest = body[...]
    repeat {
      guard packets.count < packetsMax else { throw .tooManyPackets(limit: packetsMax) }
      if form == .binary {
        packets.append(try takeBinary(&rest))
        continue
      }
      let text: ArraySlice<UInt8>
      switch revision {
      case .v4:
        let end = rest.firstIndex(of: recordSeparator)
        text = rest[..<(end ?? rest.endIndex)]
        rest = end.map { rest[($0 + 1)...] } ?? []
        // A separator stands between packets, so behind it there is one more.
        if end != nil && rest.isEmpty { throw .emptyPacket }
      case .v3:
        text = try takeCounted(&rest)
      }
      packets.append(try EngineIOPacket(text: text, revision: revision))
    } while !rest.isEmpty
    return packets
  }

  /// Protocol 3: 0 for text or 1 for binary, the length's digits as bytes, 255, the packet.
  private static func takeBinary(_ rest: inout ArraySlice<UInt8>) throws(EngineIOParseError) -> EngineIOPacket
  {
    guard let kind = rest.popFirst() else { throw .emptyPacket }
    guard kind <= 1 else { throw .unknownType(kind) }
    var count = 0
    var digitCount = 0
    while true {
      guard let digit = rest.popFirst() else { throw .badLength }
      if digit == lengthEnd { break }
      guard digit <= 9, digitCount < 9 else { throw .badLength }
      count = count * 10 + Int(digit)
      digitCount += 1
    }
    guard count > 0, count <= rest.count else { throw .badLength }
    let content = rest.prefix(count)
    rest = rest.dropFirst(count)
    if kind == 1 { return try EngineIOPacket(binary: Array(content), revision: .v3) }
    try checkUTF8(content)
    return try EngineIOPacket(text: content, revision: .v3)
  }

  /// What goes on as text must be text: a WebSocket that it is sent to closes over anything else.
  private static func checkUTF8(_ text: ArraySlice<UInt8>) throws(EngineIOParseError) {
    guard String(validating: text, as: UTF8.self) != nil else { throw .badUTF8 }
  }

  /// Protocol 3: `length:packet`, the length in UTF-16 units.
  private static func takeCounted(_ rest: inout ArraySlice<UInt8>) throws(EngineIOParseError) -> ArraySlice<
    UInt8
  > {
    var units = 0
    var digitCount = 0
    while let byte = rest.popFirst(), byte != UInt8(ascii: ":") {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digitCount < 9 else { throw .badLength }
      units = units * 10 + Int(byte - UInt8(ascii: "0"))
      digitCount += 1
    }
    guard digitCount > 0, units > 0 else { throw .badLength }
    let start = rest.startIndex
    var end = start
    while units > 0, end < rest.endIndex {
      units -= unitsBegun(by: rest[end])
      end += 1
      while end < rest.endIndex, rest[end] & 0xc0 == 0x80 { end += 1 }
    }
    guard units == 0 else { throw .badLength }
    defer { rest = rest[end...] }
    return rest[start..<end]
  }

  private static func utf16Count(_ text: ArraySlice<UInt8>) -> Int {
    text.reduce(0) { $0 + unitsBegun(by: $1) }
  }

  /// UTF-16 units of the character that a byte begins; 0 for the bytes inside one.
  private static func unitsBegun(by byte: UInt8) -> Int {
    if byte & 0xc0 == 0x80 { return 0 }
    return byte >= 0xf0 ? 2 : 1
  }
}
