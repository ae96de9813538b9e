import CZlib

/// Compresses the messages of one connection, one after the other. Holds zlib memory between them
/// only when the context is kept.
package final class MessageDeflater {
  private let windowBits: Int
  private let keepsContext: Bool
  private var stream: ZlibStream?

  /// - Parameter windowBits: 8 to 15.
  package init(windowBits: Int = 15, keepsContext: Bool = false) {
    self.windowBits = windowBits
    self.keepsContext = keepsContext
  }

  /// The payload for a frame with `isCompressed` (RFC 7692 section 7.2.1). nil: the message is better
  /// sent as it is.
  package func compress(_ message: [UInt8]) -> [UInt8]? {
    guard let stream = stream ?? ZlibStream(.deflate(windowBits: windowBits)) else { return nil }
    if keepsContext { self.stream = stream }
    var output: [UInt8] = []
    output.reserveCapacity(message.count / 2 + 64)
    do {
      try stream.deflate(message, into: &output)
    } catch {
      self.stream = nil
      return nil
    }
    let tail: [UInt8] = [0, 0, 0xff, 0xff]
    if output.suffix(4).elementsEqual(tail) { output.removeLast(4) }
    // Section 7.2.3.6: an empty message is a single zero byte.
    if output.isEmpty { output = [0] }
    // A kept context has seen the message, so the other side must see it too.
    return keepsContext || output.count < message.count ? output : nil
  }

  /// Compresses a message for every receiver with `PerMessageDeflate.takesSharedFrames`.
  package static func independent(_ message: [UInt8]) -> [UInt8]? {
    MessageDeflater().compress(message)
  }
}

/// Inflates compressed messages, one after the other. Holds zlib memory between them only when the
/// context is kept.
///
/// Bounded while it runs: a bomb ends at the limit, having cost one chunk more than that.
package final class MessageInflater {
  private let windowBits: Int
  private let keepsContext: Bool
  private var stream: ZlibStream?

  /// - Parameter windowBits: 8 to 15, at least that of the sender.
  package init(windowBits: Int = 15, keepsContext: Bool = false) {
    self.windowBits = windowBits
    self.keepsContext = keepsContext
  }

  /// What a part of a message gave, and why nothing can come behind it. The bytes before a fault count:
  /// what is wrong with them is found first, in whatever pieces the message comes.
  struct Inflated {
    var bytes: [UInt8] = []
    var fault: WebSocketFault?
  }

  /// The next part of a message: at most `bytesMax` bytes, more are a fault, which names `limitBytes`.
  func inflate(_ part: [UInt8], bytesMax: Int, limitBytes: Int) -> Inflated {
    guard let stream = stream ?? ZlibStream(.inflate(windowBits: windowBits)) else {
      return Inflated(fault: .badCompression)
    }
    self.stream = stream
    var inflated = Inflated()
    do throws(ZlibStream.Fault) {
      try stream.inflate(part, into: &inflated.bytes, bytesMax: bytesMax)
    } catch {
      switch error {
      case .refused: inflated.fault = .badCompression
      case .overLimit:
        inflated.bytes.removeLast(inflated.bytes.count - bytesMax)
        inflated.fault = .messageTooLarge(limitBytes: limitBytes)
      }
    }
    return inflated
  }

  /// The rest of the message (RFC 7692 section 7.2.2). A fault when the message ended inside a block.
  func finishMessage(bytesMax: Int, limitBytes: Int) -> Inflated {
    defer { if !keepsContext { stream = nil } }
    // Section 7.2.3.4: a last block may end the message; there is no cut-off tail to give back then.
    if let stream, stream.isAtEnd { return Inflated() }
    var rest = inflate([0, 0, 0xff, 0xff], bytesMax: bytesMax, limitBytes: limitBytes)
    if rest.fault == nil, stream?.isBetweenBlocks != true { rest.fault = .badCompression }
    return rest
  }
}

/// One zlib stream in raw form. zlib keeps a pointer to it, so it lives at one place in memory.
private final class ZlibStream {
  enum Direction {
    case deflate(windowBits: Int)
    case inflate(windowBits: Int)
  }

  enum Fault: Error {
    /// No deflate data, or zlib has no memory.
    case refused
    case overLimit
  }

  private static let chunkBytes = 16_384

  private let stream: UnsafeMutablePointer<z_stream>
  private let isDeflating: Bool
  /// What was read last was a block marked as the last one, with nothing behind it.
  private(set) var isAtEnd = false

  /// nil when zlib has no memory.
  init?(_ direction: Direction) {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    let result: Int32
    switch direction {
    case .deflate(let windowBits):
      isDeflating = true
      // zlib writes no raw stream with a window of 256 bytes. Without references back it needs none.
      let strategy = windowBits < 9 ? Z_HUFFMAN_ONLY : Z_DEFAULT_STRATEGY
      let bits = Int32(max(windowBits, 9))
      result = hub_deflateInit(stream, Z_DEFAULT_COMPRESSION, -bits, min(8, bits - 6), strategy)
    case .inflate(let windowBits):
      isDeflating = false
      // Some senders use 512 bytes where 256 were agreed, as zlib itself once did.
      result = hub_inflateInit(stream, -Int32(max(windowBits, 9)))
    }
    guard result == Z_OK else { return nil }
  }

  deinit {
    if isDeflating { deflateEnd(stream) } else { inflateEnd(stream) }
    stream.deallocate()
  }

  /// Whether all blocks so far are whole and no bit is left over.
  var isBetweenBlocks: Bool {
    // zlib's inflate says so: 128 behind a block, and the count of unused bits in the lowest five.
    stream.pointee.data_type & 128 != 0 && stream.pointee.data_type & 31 == 0
  }

  /// Compresses all of `input` up to a byte boundary.
  func deflate(_ input: [UInt8], into output: inout [UInt8]) throws(Fault) {
    try run(input, into: &output, bytesMax: .max)
  }

  /// Inflates all of `input`.
  /// - Throws: `.overLimit` once more than `bytesMax` bytes came out.
  func inflate(_ input: [UInt8], into output: inout [UInt8], bytesMax: Int) throws(Fault) {
    guard !input.isEmpty else { return }
    if isAtEnd {
      isAtEnd = false
      guard inflateResetKeep(stream) == Z_OK else { throw .refused }
    }
    try run(input, into: &output, bytesMax: bytesMax)
  }

  private func run(_ input: [UInt8], into output: inout [UInt8], bytesMax: Int) throws(Fault) {
    var input = input
    var fault: Fault?
    input.withUnsafeMutableBufferPointer { source in
      stream.pointee.next_in = source.baseAddress
      stream.pointee.avail_in = UInt32(source.count)
      fault = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.chunkBytes) {
        pump($0, into: &output, bytesMax: bytesMax)
      }
      stream.pointee.next_in = nil
      stream.pointee.avail_in = 0
      stream.pointee.next_out = nil
    }
    if let fault { throw fault }
  }

  private func pump(
    _ chunk: UnsafeMutableBufferPointer<UInt8>, into output: inout [UInt8], bytesMax: Int
  ) -> Fault? {
    while true {
      stream.pointee.next_out = chunk.baseAddress
      stream.pointee.avail_out = UInt32(chunk.count)
      let result = isDeflating ? CZlib.deflate(stream, Z_SYNC_FLUSH) : CZlib.inflate(stream, Z_SYNC_FLUSH)
      let count = chunk.count - Int(stream.pointee.avail_out)
      output.append(contentsOf: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[..<count]))
      if output.count > bytesMax { return .overLimit }
      switch result {
      case Z_STREAM_END:
        // Blocks behind the last one begin anew, with what was said before still in the window.
        guard stream.pointee.avail_in > 0 else {
          isAtEnd = true
          return nil
        }
        guard inflateResetKeep(stream) == Z_OK else { return .refused }
      case Z_OK:
        // Room left over: all that could come out has come.
        if count < chunk.count { return nil }
      case Z_BUF_ERROR:
        // No progress was possible: not an error, the input is used up.
        return nil
      default: return .refused
      }
    }
  }
}
