import Testing

@testable import HTTPServer

@Suite("The bound of what waits for a client")
struct QueueBoundTests {
  /// What the bound of 1,000 bytes says to frames of these sizes behind these many queued bytes.
  private func answers(_ frames: [(bytes: Int, queued: Int)]) -> [Bool] {
    var bound = QueueBound(bytesMax: 1_000)
    return frames.map { bound.admits($0.bytes, queued: $0.queued) }
  }

  @Test("what waits stays within the bound")
  func bounded() {
    #expect(answers([(600, 0), (400, 600), (1, 1_000), (401, 600)]) == [true, true, false, false])
  }

  @Test("a frame larger than the bound goes to a client that has read, uncounted until it is read")
  func oversized() {
    #expect(answers([(5_000, 250), (750, 5_250), (1, 6_000)]) == [true, true, false])
    #expect(answers([(5_000, 0), (5_000, 5_000)]) == [true, false])
    #expect(answers([(5_000, 0), (5_000, 0)]) == [true, true])
  }

  @Test("a client that has not read gets no frame larger than the bound")
  func slow() {
    #expect(answers([(5_000, 251)]) == [false])
  }
}
