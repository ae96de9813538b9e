import Testing

@testable import Hub

@Suite("Event cursor")
struct EventCursorTests {
  @Test("a live client gets each next event once")
  func live() {
    var cursor = EventCursor()
    #expect(cursor.opened(at: 7, lastSeq: nil) == .ignore)
    #expect(cursor.published(7) == .ignore)
    #expect(cursor.published(8) == .send)
    #expect(cursor.published(8) == .ignore)
    #expect(cursor.published(9) == .send)
    #expect(cursor.position == 9)
  }

  @Test("a hole makes the client read the log, and live events wait for it")
  func hole() {
    var cursor = EventCursor()
    _ = cursor.opened(at: 3, lastSeq: nil)
    #expect(cursor.published(5) == .catchUp)
    #expect(cursor.published(6) == .ignore)
    #expect(cursor.read(4) == true)
    #expect(cursor.read(5) == true)
    #expect(cursor.reachedEnd() == false)
    #expect(cursor.read(6) == true)
    #expect(cursor.reachedEnd() == true)
    #expect(cursor.published(7) == .send)
  }

  @Test("what is published while the place is looked up is not lost")
  func publishedWhileOpening() {
    var cursor = EventCursor()
    #expect(cursor.published(11) == .ignore)
    #expect(cursor.opened(at: 10, lastSeq: nil) == .catchUp)
    #expect(cursor.read(11) == true)
    #expect(cursor.reachedEnd() == true)
  }

  @Test("what the look-up has seen already is not read again")
  func announcedBeforeOpening() {
    var cursor = EventCursor()
    #expect(cursor.published(10) == .ignore)
    #expect(cursor.opened(at: 10, lastSeq: nil) == .ignore)
    #expect(cursor.published(11) == .send)
  }

  @Test("a resuming client reads from its own number")
  func resume() {
    var cursor = EventCursor()
    #expect(cursor.opened(at: 10, lastSeq: 8) == .catchUp)
    #expect(cursor.read(9) == true)
    #expect(cursor.read(9) == false)
    #expect(cursor.read(10) == true)
    #expect(cursor.reachedEnd() == true)
  }

  @Test("any schedule of commits, publications and reads gives every event once and in order")
  func anySchedule() {
    for seed in UInt64(1)...400 {
      var random = SplitMix(state: seed)
      #expect(run(&random) == nil, "seed \(seed)")
    }
  }

  /// Plays one client against a log. - Returns: what went wrong, nil when nothing did.
  private func run(_ random: inout SplitMix) -> String? {
    var log = Int64(random.below(5))
    let start = log
    var cursor = EventCursor()
    var sent: [Int64] = []
    var isReading = false
    var pending: [Int64] = []
    let bounds = log
    var isOpen = false
    for _ in 0..<60 {
      switch random.below(5) {
      case 0:
        log += 1
        pending.append(log)
      case 1:
        // Publications may be lost and may cross.
        guard !pending.isEmpty else { continue }
        let seq = pending.remove(at: random.below(pending.count))
        if random.below(4) == 0 { continue }
        switch cursor.published(seq) {
        case .send: sent.append(seq)
        case .catchUp: isReading = true
        case .ignore: break
        }
      case 2:
        if !isOpen {
          isOpen = true
          if cursor.opened(at: bounds, lastSeq: nil) == .catchUp { isReading = true }
        }
      case 3:
        if isReading { isReading = !readPage(&cursor, log, &sent) }
      default:
        if isOpen && cursor.observed(log) == .catchUp { isReading = true }
      }
    }
    if !isOpen && cursor.opened(at: bounds, lastSeq: nil) == .catchUp { isReading = true }
    if cursor.observed(log) == .catchUp { isReading = true }
    while isReading { isReading = !readPage(&cursor, log, &sent) }
    let expected = log > start ? Array((start + 1)...log) : []
    return sent == expected ? nil : "sent \(sent), expected \(expected)"
  }

  private func readPage(_ cursor: inout EventCursor, _ log: Int64, _ sent: inout [Int64]) -> Bool {
    let from = cursor.position + 1
    let to = min(log, from + 1)
    guard from <= to else { return cursor.reachedEnd() }
    for seq in from...to where cursor.read(seq) { sent.append(seq) }
    return false
  }
}

/// A small seeded generator, so that a failure can be played again.
struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
