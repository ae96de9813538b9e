/// A growing run of bytes that is filled at the back and consumed at the front.
///
/// The currency between sockets and parsers: a socket appends what arrived, a parser looks at
/// `readable` and consumes what it understood. Whole values (bodies, frames, payloads) travel as
/// `[UInt8]`. A drained buffer gives its memory back, so an idle connection holds none.
package struct ByteBuffer: Sendable, Equatable {
  private var storage: [UInt8]
  private var head: Int

  package init() {
    storage = []
    head = 0
  }

  package init(_ bytes: some Sequence<UInt8>) {
    storage = Array(bytes)
    head = 0
  }

  package init(string: String) {
    self.init(string.utf8)
  }

  /// Bytes not consumed yet.
  package var count: Int { storage.count - head }
  package var isEmpty: Bool { head == storage.count }

  /// The bytes not consumed yet, without a copy. Indices are those of the slice, not zero-based.
  package var readable: ArraySlice<UInt8> { storage[head...] }

  /// The byte `offset` places behind the first unread one. Traps beyond the end.
  package subscript(offset: Int) -> UInt8 { storage[head + offset] }

  package mutating func append(_ byte: UInt8) {
    storage.append(byte)
  }

  package mutating func append(contentsOf bytes: some Sequence<UInt8>) {
    storage.append(contentsOf: bytes)
  }

  package mutating func append(contentsOf bytes: UnsafeRawBufferPointer) {
    storage.append(contentsOf: bytes)
  }

  package mutating func append(_ string: String) {
    storage.append(contentsOf: string.utf8)
  }

  package mutating func reserve(_ bytes: Int) {
    storage.reserveCapacity(storage.count + bytes)
  }

  /// Drops the first `byteCount` unread bytes. Traps beyond the end.
  package mutating func consume(_ byteCount: Int) {
    precondition(byteCount >= 0 && byteCount <= count, "consumed more than the buffer holds")
    head += byteCount
    if head == storage.count {
      storage = []
      head = 0
    } else if head >= 65_536 && head >= storage.count / 2 {
      storage.removeFirst(head)
      head = 0
    }
  }

  /// Takes the first `byteCount` unread bytes out. Traps beyond the end.
  package mutating func read(_ byteCount: Int) -> [UInt8] {
    precondition(byteCount >= 0 && byteCount <= count, "read more than the buffer holds")
    if head == 0 && byteCount == storage.count {
      defer { storage = [] }
      return storage
    }
    let bytes = Array(storage[head..<head + byteCount])
    consume(byteCount)
    return bytes
  }

  /// Takes all unread bytes out.
  package mutating func readAll() -> [UInt8] { read(count) }

  /// The unread bytes as raw memory, for scanners. The pointer is valid inside `body` only.
  package func withUnsafeReadable<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try storage.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[head...])) }
  }

  package static func == (left: ByteBuffer, right: ByteBuffer) -> Bool {
    left.readable == right.readable
  }
}
