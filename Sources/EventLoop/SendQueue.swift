/// Bytes that wait for the kernel, in the pieces they were written in: a piece that many sockets send is
/// shared by them and never copied into one of them.
struct SendQueue {
  private var pieces: [[UInt8]] = []
  /// The first piece that has not left whole.
  private var head = 0
  /// How much of it has left.
  private var offset = 0
  private(set) var byteCount = 0

  var isEmpty: Bool { byteCount == 0 }

  /// - Parameter piece: not empty.
  mutating func append(_ piece: [UInt8]) {
    pieces.append(piece)
    byteCount += piece.count
  }

  /// Calls `body` with the bytes at the front, as many as fit `scratch`: a piece alone where it stands,
  /// several copied behind each other. Not to be called when empty.
  func withFront<R>(_ scratch: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    if pieces.count - head == 1 {
      return pieces[head].withUnsafeBytes { bytes in
        body(UnsafeRawBufferPointer(rebasing: bytes[offset..<min(bytes.count, offset + scratch.count)]))
      }
    }
    var filled = 0
    var start = offset
    for piece in pieces[head...] where filled < scratch.count {
      let count = min(piece.count - start, scratch.count - filled)
      piece.withUnsafeBytes { bytes in
        UnsafeMutableRawBufferPointer(rebasing: scratch[filled..<filled + count])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
      }
      filled += count
      start = 0
    }
    return body(UnsafeRawBufferPointer(rebasing: scratch[..<filled]))
  }

  /// Drops what has left.
  mutating func consume(_ count: Int) {
    byteCount -= count
    var left = count
    while left > 0 {
      let available = pieces[head].count - offset
      guard left >= available else {
        offset += left
        return
      }
      left -= available
      offset = 0
      // The usual queue is one piece; its place in the array stays for the next.
      if pieces.count == 1 {
        pieces.removeLast()
        return
      }
      pieces[head] = []
      head += 1
      if head == pieces.count {
        pieces = []
        head = 0
      }
    }
    if head >= 64 {
      pieces.removeFirst(head)
      head = 0
    }
  }
}
