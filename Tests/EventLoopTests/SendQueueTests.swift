import Testing

@testable import EventLoop

@Suite("SendQueue")
struct SendQueueTests {
  private func front(_ queue: SendQueue, room: Int) -> [UInt8] {
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
    defer { scratch.deallocate() }
    return queue.withFront(scratch) { Array($0) }
  }

  @Test("What goes in comes out in order, however much is taken at once", arguments: 1...17)
  func order(step: Int) {
    let pieces: [[UInt8]] = (1...9).map { length in (0..<length).map { UInt8(16 * length + $0) } }
    var queue = SendQueue()
    var written: [UInt8] = []
    var left: [UInt8] = []
    // Some pieces join a queue that is half gone, some a queue that is empty again.
    for (index, piece) in pieces.enumerated() {
      queue.append(piece)
      written += piece
      guard !index.isMultiple(of: 3) else { continue }
      let bytes = front(queue, room: step)
      left += bytes
      queue.consume(bytes.count)
      #expect(queue.byteCount == written.count - left.count)
    }
    while !queue.isEmpty {
      let bytes = front(queue, room: step)
      #expect(bytes.count == min(step, queue.byteCount))
      left += bytes
      queue.consume(bytes.count)
    }
    #expect(left == written)
  }

  @Test("Part of what was shown may stay")
  func partial() {
    var queue = SendQueue()
    queue.append([1, 2, 3])
    queue.append([4, 5])
    #expect(front(queue, room: 8) == [1, 2, 3, 4, 5])
    queue.consume(1)
    #expect(front(queue, room: 3) == [2, 3, 4])
    queue.consume(3)
    #expect(front(queue, room: 8) == [5])
    queue.consume(1)
    #expect(queue.isEmpty)
  }

  @Test("A long queue gives back the room of what has left")
  func many() {
    var queue = SendQueue()
    for number in 0..<1_000 { queue.append([UInt8(truncatingIfNeeded: number)]) }
    for number in 0..<1_000 {
      #expect(front(queue, room: 1) == [UInt8(truncatingIfNeeded: number)])
      queue.consume(1)
    }
    #expect(queue.isEmpty)
  }
}
