package import Bytes

/// Reads frames out of bytes (RFC 6455 section 5.2).
///
/// A frame comes out as its header, then its payload in as many parts as it arrives in, then its
/// end. So a large payload is never held here, and text can be checked as it comes. A control
/// frame's payload is at most 125 bytes and still may come in parts.
package struct FrameParser: Sendable {
  package enum Event: Sendable, Equatable {
    /// Nothing more can be said before more bytes come.
    case needMoreData
    case frameBegan(WebSocketFrameHeader)
    /// The next bytes of the payload, unmasked, never empty.
    case payloadPart([UInt8])
    case frameEnded
  }

  /// A control frame's longest payload (RFC 6455 section 5.5).
  package static let controlBytesMax = 125

  private enum State: Sendable {
    case awaitingHeader
    case readingPayload(bytesLeft: Int, mask: Mask)
  }

  private let role: WebSocketRole
  private let allowsCompression: Bool
  private var state = State.awaitingHeader

  /// `role` is our own side: a server's parser wants masked frames. With `allowsCompression` the bit
  /// RSV1 may be set on the first frame of a data message.
  package init(role: WebSocketRole, allowsCompression: Bool = false) {
    self.role = role
    self.allowsCompression = allowsCompression
  }

  /// Consumes what the answer covers. After a throw the parser is spent.
  package mutating func read(_ buffer: inout ByteBuffer) throws(WebSocketFault) -> Event {
    switch state {
    case .awaitingHeader:
      guard let (header, mask) = try readHeader(&buffer) else { return .needMoreData }
      state = .readingPayload(bytesLeft: header.payloadBytes, mask: mask)
      return .frameBegan(header)
    case .readingPayload(let bytesLeft, var mask):
      guard bytesLeft > 0 else {
        state = .awaitingHeader
        return .frameEnded
      }
      guard !buffer.isEmpty else { return .needMoreData }
      var part = buffer.read(min(bytesLeft, buffer.count))
      mask.apply(to: &part)
      state = .readingPayload(bytesLeft: bytesLeft - part.count, mask: mask)
      return .payloadPart(part)
    }
  }

  /// Takes the payload of the frame that began, at once and with its end. Only while nothing of it was read
  /// and all of it is in `buffer`.
  mutating func readPayload(_ buffer: inout ByteBuffer) -> [UInt8] {
    guard case .readingPayload(let bytesLeft, var mask) = state else {
      preconditionFailure("a payload was asked for outside of a frame")
    }
    var payload = buffer.read(bytesLeft)
    mask.apply(to: &payload)
    state = .awaitingHeader
    return payload
  }

  private func readHeader(_ buffer: inout ByteBuffer) throws(WebSocketFault) -> (WebSocketFrameHeader, Mask)?
  {
    guard buffer.count >= 2 else { return nil }
    let first = buffer[0]
    let second = buffer[1]
    let opcode = try checkedOpcode(first)
    let isFinal = first & 0x80 != 0
    let isMasked = second & 0x80 != 0
    switch (role, isMasked) {
    case (.server, false): throw .unmasked
    case (.client, true): throw .masked
    case (.server, true), (.client, false): break
    }
    let shortLength = Int(second & 0x7f)
    if opcode.isControl {
      guard isFinal else { throw .controlFragmented }
      guard shortLength <= Self.controlBytesMax else {
        throw .controlTooLong(limitBytes: Self.controlBytesMax)
      }
    }
    let lengthBytes = shortLength < 126 ? 0 : shortLength == 126 ? 2 : 8
    let headerBytes = 2 + lengthBytes + (isMasked ? 4 : 0)
    guard buffer.count >= headerBytes else { return nil }
    let payloadBytes = try length(shortLength, in: buffer, bytes: lengthBytes)
    var mask = Mask()
    if isMasked {
      let at = 2 + lengthBytes
      mask = Mask(key: (buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]))
    }
    buffer.consume(headerBytes)
    let header = WebSocketFrameHeader(
      isFinal: isFinal, isCompressed: first & 0x40 != 0, opcode: opcode, payloadBytes: payloadBytes)
    return (header, mask)
  }

  private func checkedOpcode(_ first: UInt8) throws(WebSocketFault) -> WebSocketOpcode {
    guard first & 0x30 == 0 else { throw .reservedBitSet }
    guard let opcode = WebSocketOpcode(rawValue: first & 0x0f) else {
      throw .unknownOpcode(first & 0x0f)
    }
    if first & 0x40 != 0 {
      // RFC 7692 section 6: only on the first frame of a text or binary message.
      guard allowsCompression && (opcode == .text || opcode == .binary) else { throw .reservedBitSet }
    }
    return opcode
  }

  private func length(
    _ short: Int, in buffer: ByteBuffer, bytes count: Int
  ) throws(WebSocketFault) -> Int {
    guard count > 0 else { return short }
    var value: UInt64 = 0
    for offset in 2..<2 + count { value = value << 8 | UInt64(buffer[offset]) }
    guard let length = Int(exactly: value) else { throw .badLength }
    guard length > (count == 2 ? 125 : 65_535) else { throw .badLength }
    return length
  }
}

/// The four bytes that a client's payload is exclusive-or'ed with (RFC 6455 section 5.3), turned on
/// by as many bytes as were treated, so that the parts of one payload can be treated one by one.
package struct Mask: Sendable, Equatable {
  /// The key in memory order: the byte for the next payload byte is the lowest.
  private var key: UInt32

  /// No mask: leaves bytes as they are.
  package init() { key = 0 }

  package init(key bytes: (UInt8, UInt8, UInt8, UInt8)) {
    key = UInt32(bytes.0) | UInt32(bytes.1) << 8 | UInt32(bytes.2) << 16 | UInt32(bytes.3) << 24
  }

  package mutating func apply(to bytes: inout [UInt8]) {
    guard key != 0 else { return }
    bytes.withUnsafeMutableBytes { apply(to: $0) }
  }

  /// Treats the memory in place, eight bytes at a time.
  package mutating func apply(to memory: UnsafeMutableRawBufferPointer) {
    guard key != 0 else { return }
    let wide = UInt64(key) | UInt64(key) << 32
    var index = 0
    while index + 8 <= memory.count {
      let word = UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: index, as: UInt64.self)) ^ wide
      memory.storeBytes(of: word.littleEndian, toByteOffset: index, as: UInt64.self)
      index += 8
    }
    while index < memory.count {
      memory[index] ^= UInt8(truncatingIfNeeded: key)
      key = key >> 8 | key << 24
      index += 1
    }
  }
}
