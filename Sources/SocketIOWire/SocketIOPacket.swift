/// Socket.IO packets, protocol revision 5 (socket.io repository, docs/socket.io-protocol/v5-current.md).
///
///     <type>[<attachments>-][<namespace>,][<ack id>][<JSON>]
///
/// The JSON is carried as its bytes: this layer checks its first characters and leaves reading it to
/// whoever wants to know more. What it accepts, `encoded` gives back byte for byte, but that the
/// namespace `/`, the query of a namespace and zeros before a number are left out.
package struct SocketIOPacket: Sendable, Equatable {
  package enum Kind: UInt8, Sendable {
    case connect = 0
    case disconnect = 1
    case event = 2
    case acknowledgement = 3
    case connectError = 4
    case binaryEvent = 5
    case binaryAcknowledgement = 6

    package var isBinary: Bool { self == .binaryEvent || self == .binaryAcknowledgement }
  }

  package let kind: Kind
  /// Begins with `/`, and has no comma.
  package let namespace: String
  /// What stood behind a `?` in the namespace: how clients of revision 4 and before say who they are.
  /// Still encoded; not part of what `encoded` gives.
  package private(set) var namespaceQuery = ""
  /// Set where an answer is asked for, and in the answer.
  package let acknowledgementID: UInt64?
  /// Binary messages that follow. 0 for packets that are not binary.
  package let attachmentCount: Int
  /// JSON bytes, or none.
  package let payload: [UInt8]

  package init(
    _ kind: Kind, namespace: String = "/", acknowledgementID: UInt64? = nil, attachmentCount: Int = 0,
    payload: [UInt8] = []
  ) {
    self.kind = kind
    self.namespace = namespace
    self.acknowledgementID = acknowledgementID
    self.attachmentCount = attachmentCount
    self.payload = payload
  }
}

/// What a client's packet may be at most; beyond either it is refused with a `SocketIOParseError`.
package struct SocketIOLimits: Sendable, Equatable {
  /// Binary attachments of one packet, a count.
  package var attachmentsMax: Int
  /// Of the name alone.
  package var namespaceBytesMax: Int
  /// Of the query behind it, which may hold a token.
  package var namespaceQueryBytesMax: Int

  package init(
    attachmentsMax: Int = 10, namespaceBytesMax: Int = 256, namespaceQueryBytesMax: Int = 8_192
  ) {
    self.attachmentsMax = attachmentsMax
    self.namespaceBytesMax = namespaceBytesMax
    self.namespaceQueryBytesMax = namespaceQueryBytesMax
  }
}

/// What a client's packet may not be. Every one closes its connection.
package enum SocketIOParseError: Error, Sendable, Equatable {
  case empty
  case unknownType(UInt8)
  case badAttachmentCount
  case tooManyAttachments(limit: Int)
  case namespaceTooLong(limitBytes: Int)
  case badNamespace
  case badAcknowledgementID
  /// The payload cannot be one of this kind, judged by its first characters.
  case badPayload
  /// Text came while attachments were due, or binary while none were.
  case attachmentOutOfPlace
}

extension SocketIOPacket {
  /// Reads one packet.
  package init(
    parsing bytes: [UInt8], limits: SocketIOLimits = SocketIOLimits()
  ) throws(SocketIOParseError) {
    var rest = bytes[...]
    guard let type = rest.popFirst() else { throw .empty }
    guard type >= UInt8(ascii: "0"), let kind = Kind(rawValue: type - UInt8(ascii: "0")) else {
      throw .unknownType(type)
    }
    var attachmentCount = 0
    if kind.isBinary {
      guard let count = Self.takeNumber(&rest), rest.popFirst() == UInt8(ascii: "-") else {
        throw .badAttachmentCount
      }
      guard count <= limits.attachmentsMax else { throw .tooManyAttachments(limit: limits.attachmentsMax) }
      attachmentCount = Int(count)
    }
    let (namespace, query) = try Self.takeNamespace(&rest, limits)
    let acknowledgementID = Self.takeNumber(&rest)
    if let first = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) {
      throw .badAcknowledgementID
    }
    try Self.check(kind, acknowledgementID, rest)
    self.init(
      kind, namespace: namespace, acknowledgementID: acknowledgementID, attachmentCount: attachmentCount,
      payload: Array(rest))
    namespaceQuery = query
  }

  /// Digits up to a number that JavaScript holds exactly. nil: no digits, or too many; those it took
  /// when there were too many are put back.
  private static func takeNumber(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    var end = rest.startIndex
    while end < rest.endIndex, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(rest[end]) {
      value = value * 10 + UInt64(rest[end] - UInt8(ascii: "0"))
      guard value < 1 << 53 else { return nil }
      end += 1
    }
    guard end > rest.startIndex else { return nil }
    rest = rest[end...]
    return value
  }

  private static func takeNamespace(
    _ rest: inout ArraySlice<UInt8>, _ limits: SocketIOLimits
  ) throws(SocketIOParseError) -> (name: String, query: String) {
    guard rest.first == UInt8(ascii: "/") else { return ("/", "") }
    let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.endIndex
    let name = rest[..<end]
    rest = rest[(end == rest.endIndex ? end : end + 1)...]
    // By bytes: as characters, a mark or a slash may be one with what stands behind it.
    let mark = name.firstIndex(of: UInt8(ascii: "?")) ?? name.endIndex
    for (part, limit) in [
      (name[..<mark], limits.namespaceBytesMax), (name[mark...].dropFirst(), limits.namespaceQueryBytesMax),
    ] where part.count > limit {
      throw .namespaceTooLong(limitBytes: limit)
    }
    guard let path = String(validating: name[..<mark], as: UTF8.self),
      let query = String(validating: name[mark...].dropFirst(), as: UTF8.self)
    else { throw .badNamespace }
    return (path, query)
  }

  private static func check(
    _ kind: Kind, _ acknowledgementID: UInt64?, _ payload: ArraySlice<UInt8>
  ) throws(SocketIOParseError) {
    switch kind {
    case .connect:
      guard acknowledgementID == nil else { throw .badAcknowledgementID }
      guard payload.isEmpty || payload.first == UInt8(ascii: "{") else { throw .badPayload }
    case .disconnect:
      guard acknowledgementID == nil else { throw .badAcknowledgementID }
      guard payload.isEmpty else { throw .badPayload }
    case .connectError:
      guard payload.first == UInt8(ascii: "{") || payload.first == UInt8(ascii: "\"") else {
        throw .badPayload
      }
    case .event, .binaryEvent:
      guard payload.first == UInt8(ascii: "["), payload.last == UInt8(ascii: "]") else { throw .badPayload }
    case .acknowledgement, .binaryAcknowledgement:
      guard acknowledgementID != nil else { throw .badAcknowledgementID }
      guard payload.first == UInt8(ascii: "["), payload.last == UInt8(ascii: "]") else { throw .badPayload }
    }
  }

  /// The packet as the text of an Engine.IO message.
  package func encoded() -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(payload.count + namespace.utf8.count + 32)
    append(to: &output)
    return output
  }

  /// Appends the packet as the text of an Engine.IO message.
  package func append(to output: inout [UInt8]) {
    output.append(UInt8(ascii: "0") + kind.rawValue)
    if kind.isBinary {
      output.append(contentsOf: String(attachmentCount).utf8)
      output.append(UInt8(ascii: "-"))
    }
    if namespace != "/" {
      output.append(contentsOf: namespace.utf8)
      output.append(UInt8(ascii: ","))
    }
    if let acknowledgementID { output.append(contentsOf: String(acknowledgementID).utf8) }
    output.append(contentsOf: payload)
  }
}

/// Puts the attachments of a binary packet back to it.
package struct SocketIOAssembler: Sendable {
  /// A whole packet with its attachments in order; the JSON names them by number in placeholders
  /// (`{"_placeholder":true,"num":0}`).
  package struct Assembled: Sendable, Equatable {
    package let packet: SocketIOPacket
    package let attachments: [[UInt8]]
  }

  private enum State: Sendable {
    case betweenPackets
    case awaitingAttachments(SocketIOPacket, [[UInt8]])
  }

  private let limits: SocketIOLimits
  private var state = State.betweenPackets

  package init(limits: SocketIOLimits = SocketIOLimits()) {
    self.limits = limits
  }

  /// Takes a text message. nil: attachments follow.
  package mutating func text(_ bytes: [UInt8]) throws(SocketIOParseError) -> Assembled? {
    guard case .betweenPackets = state else { throw .attachmentOutOfPlace }
    let packet = try SocketIOPacket(parsing: bytes, limits: limits)
    guard packet.attachmentCount > 0 else { return Assembled(packet: packet, attachments: []) }
    state = .awaitingAttachments(packet, [])
    return nil
  }

  /// Takes a binary message. nil: more follow.
  package mutating func binary(_ bytes: [UInt8]) throws(SocketIOParseError) -> Assembled? {
    guard case .awaitingAttachments(let packet, var attachments) = state else { throw .attachmentOutOfPlace }
    attachments.append(bytes)
    guard attachments.count == packet.attachmentCount else {
      state = .awaitingAttachments(packet, attachments)
      return nil
    }
    state = .betweenPackets
    return Assembled(packet: packet, attachments: attachments)
  }
}
