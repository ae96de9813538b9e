/// Writes frames (RFC 6455 section 5.2).
///
/// A server's frame carries no mask, so its bytes are the same for every receiver: it is written
/// once and the array is shared by all sockets that send it.
package enum FrameWriter {
  /// One whole frame. `maskKey` is nil for a server, and for a client a value that nobody can
  /// foretell, new for each frame (RFC 6455 section 5.3).
  package static func frame(
    _ opcode: WebSocketOpcode, _ payload: [UInt8], isFinal: Bool = true,
    isCompressed: Bool = false, maskKey: UInt32? = nil
  ) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(payload.count + 14)
    append(opcode, payload, isFinal: isFinal, isCompressed: isCompressed, maskKey: maskKey, to: &output)
    return output
  }

  /// Appends one whole frame.
  package static func append(
    _ opcode: WebSocketOpcode, _ payload: [UInt8], isFinal: Bool = true,
    isCompressed: Bool = false, maskKey: UInt32? = nil, to output: inout [UInt8]
  ) {
    output.append((isFinal ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | opcode.rawValue)
    appendLength(payload.count, maskBit: maskKey == nil ? 0 : 0x80, to: &output)
    guard let maskKey else {
      output.append(contentsOf: payload)
      return
    }
    let key = withUnsafeBytes(of: maskKey.bigEndian) { ($0[0], $0[1], $0[2], $0[3]) }
    output.append(contentsOf: [key.0, key.1, key.2, key.3])
    let start = output.count
    output.append(contentsOf: payload)
    var mask = Mask(key: key)
    output.withUnsafeMutableBytes { mask.apply(to: UnsafeMutableRawBufferPointer(rebasing: $0[start...])) }
  }

  /// A close frame. A code that may not be sent gives a frame without payload.
  package static func close(_ close: WebSocketClose, maskKey: UInt32? = nil) -> [UInt8] {
    frame(.close, close.payload, maskKey: maskKey)
  }

  private static func appendLength(_ count: Int, maskBit: UInt8, to output: inout [UInt8]) {
    switch count {
    case ...125:
      output.append(maskBit | UInt8(count))
    case ...65_535:
      output.append(maskBit | 126)
      output.append(UInt8(count >> 8))
      output.append(UInt8(count & 0xff))
    default:
      output.append(maskBit | 127)
      withUnsafeBytes(of: UInt64(count).bigEndian) { output.append(contentsOf: $0) }
    }
  }
}
