import CZlib

/// permessage-deflate: compressed messages (RFC 7692), without context takeover on either side.
///
/// Each message is compressed on its own (section 7.1.1), so a compressed frame can still be shared
/// by many receivers, and an idle connection holds no zlib memory (which would be 40 to 300 KiB).
/// Inflating is bounded by the message limit while it runs: a bomb ends at the limit.
package struct PerMessageDeflate: Sendable, Equatable {
  /// The window of what we send, as a power of two, 9 to 15.
  package let sendWindowBits: Int
  /// The value for `Sec-WebSocket-Extensions` in the answer.
  package let response: String

  /// Takes the first acceptable offer of the request's `Sec-WebSocket-Extensions` values
  /// (RFC 7692 section 5). nil: none, the connection goes on without compression.
  package static func negotiate(offers: [String]) -> PerMessageDeflate? {
    for offer in offers.flatMap({ $0.split(separator: ",") }) {
      if let accepted = accept(offer) { return accepted }
    }
    return nil
  }

  private static func accept(_ offer: Substring) -> PerMessageDeflate? {
    let parts = offer.split(separator: ";").map(trimmed)
    guard parts.first == "permessage-deflate" else { return nil }
    var sendWindowBits = 15
    var names: Set<Substring> = []
    for part in parts.dropFirst() {
      let pair = part.split(separator: "=", maxSplits: 1).map(trimmed)
      guard let name = pair.first, names.insert(name).inserted else { return nil }
      var value = pair.count > 1 ? pair[1] : nil
      if let quoted = value, quoted.count >= 2, quoted.first == "\"", quoted.last == "\"" {
        value = quoted.dropFirst().dropLast()
      }
      switch (name, value) {
      case ("server_no_context_takeover", nil), ("client_no_context_takeover", nil): break
      case ("client_max_window_bits", nil): break
      case ("client_max_window_bits", let bits?):
        guard windowBits(bits) != nil else { return nil }
      case ("server_max_window_bits", let bits?):
        // zlib cannot write a raw stream with a window of 256 bytes.
        guard let bits = windowBits(bits), bits >= 9 else { return nil }
        sendWindowBits = bits
      default: return nil
      }
    }
    var response = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    if names.contains("server_max_window_bits") { response += "; server_max_window_bits=\(sendWindowBits)" }
    return PerMessageDeflate(sendWindowBits: sendWindowBits, response: response)
  }

  private static func windowBits(_ text: Substring) -> Int? {
    guard text.first != "0", text.allSatisfy({ $0.isASCII && $0.isNumber }), let bits = Int(text) else {
      return nil
    }
    return (8...15).contains(bits) ? bits : nil
  }

  private static func trimmed(_ text: Substring) -> Substring {
    let isSpace = { (character: Character) in character == " " || character == "\t" }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return text
  }

  /// The compressed payload of a message, for a frame with `isCompressed` (RFC 7692 section 7.2.1).
  /// nil when zlib has no memory.
  package func compress(_ message: [UInt8]) -> [UInt8]? {
    let stream = ZlibStream(.deflate(windowBits: sendWindowBits))
    guard let stream else { return nil }
    var output: [UInt8]
    do {
      output = try stream.run(message, flush: Z_SYNC_FLUSH, bytesMax: .max).bytes
    } catch {
      return nil
    }
    let tail: [UInt8] = [0, 0, 0xff, 0xff]
    if output.suffix(4).elementsEqual(tail) { output.removeLast(4) }
    // Section 7.2.3.6: an empty message is a single zero byte.
    return output.isEmpty ? [0] : output
  }
}

/// Inflates compressed messages, one after the other. Holds zlib memory only inside a message.
package final class MessageInflater {
  private var stream: ZlibStream?

  package init() {}

  /// The next part of a message. Throws when more than `bytesMax` come out; `limitBytes` is the
  /// limit to name then.
  func inflate(_ part: [UInt8], bytesMax: Int, limitBytes: Int) throws(WebSocketFault) -> [UInt8] {
    let stream = self.stream ?? ZlibStream(.inflate)
    self.stream = stream
    guard let stream else { throw .badCompression }
    let result: (bytes: [UInt8], isOver: Bool)
    do {
      result = try stream.run(part, flush: Z_SYNC_FLUSH, bytesMax: bytesMax)
    } catch {
      throw .badCompression
    }
    guard !result.isOver else { throw .messageTooLarge(limitBytes: limitBytes) }
    return result.bytes
  }

  /// The rest of the message (RFC 7692 section 7.2.2).
  func finishMessage(bytesMax: Int, limitBytes: Int) throws(WebSocketFault) -> [UInt8] {
    defer { stream = nil }
    return try inflate([0, 0, 0xff, 0xff], bytesMax: bytesMax, limitBytes: limitBytes)
  }
}

/// One zlib stream in raw form. zlib keeps a pointer to it, so it lives at one place in memory.
private final class ZlibStream {
  enum Direction {
    case deflate(windowBits: Int)
    case inflate
  }

  struct Failure: Error {}

  private let stream: UnsafeMutablePointer<z_stream>
  private let isDeflating: Bool
  private var hasEnded = false

  /// nil when zlib has no memory.
  init?(_ direction: Direction) {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    let result: Int32
    switch direction {
    case .deflate(let windowBits):
      isDeflating = true
      result = hub_deflateInit(stream, Z_DEFAULT_COMPRESSION, -Int32(windowBits), 8)
    case .inflate:
      isDeflating = false
      result = hub_inflateInit(stream, -15)
    }
    guard result == Z_OK else { return nil }
  }

  deinit {
    if isDeflating { deflateEnd(stream) } else { inflateEnd(stream) }
    stream.deallocate()
  }

  /// Puts all of `input` through. Stops with `isOver` once more than `bytesMax` bytes came out.
  func run(_ input: [UInt8], flush: Int32, bytesMax: Int) throws -> (bytes: [UInt8], isOver: Bool) {
    var input = input
    var output: [UInt8] = []
    guard !hasEnded else { return ([], false) }
    let isOver = try input.withUnsafeMutableBufferPointer { source in
      stream.pointee.next_in = source.baseAddress
      stream.pointee.avail_in = UInt32(source.count)
      defer {
        stream.pointee.next_in = nil
        stream.pointee.avail_in = 0
      }
      return try pump(into: &output, flush: flush, bytesMax: bytesMax)
    }
    return (output, isOver)
  }

  private func pump(into output: inout [UInt8], flush: Int32, bytesMax: Int) throws -> Bool {
    let step = 16_384
    while true {
      var result = Z_OK
      let chunk = [UInt8](unsafeUninitializedCapacity: step) { room, count in
        stream.pointee.next_out = room.baseAddress
        stream.pointee.avail_out = UInt32(step)
        result = isDeflating ? deflate(stream, flush) : inflate(stream, flush)
        count = step - Int(stream.pointee.avail_out)
      }
      stream.pointee.next_out = nil
      output.append(contentsOf: chunk)
      if output.count > bytesMax { return true }
      switch result {
      case Z_STREAM_END:
        hasEnded = true
        return false
      case Z_OK:
        // Room left over: all that could come out has come.
        if chunk.count < step { return false }
      case Z_BUF_ERROR:
        // No progress was possible: not an error, the input is used up.
        return false
      default:
        throw Failure()
      }
    }
  }
}
