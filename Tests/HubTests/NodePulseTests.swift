import EventLoop
import Testing

@testable import Hub

@Suite struct NodePulseTests {
  private static func at(_ seconds: Double) -> LoopInstant {
    LoopInstant(nanoseconds: UInt64(1_000 + seconds) * 1_000_000_000)
  }

  @Test("before the first beat nothing is certain")
  func silence() {
    #expect(!NodePulse().isUnbroken(since: Self.at(0), now: Self.at(0)))
  }

  @Test("while beats follow each other, what was held is held")
  func steady() {
    let pulse = NodePulse()
    for second in 0...30 { pulse.beat(at: Self.at(Double(2 * second))) }
    #expect(pulse.isUnbroken(since: Self.at(0), now: Self.at(61)))
    #expect(pulse.isUnbroken(since: Self.at(40), now: Self.at(67)))
    #expect(!pulse.isUnbroken(since: Self.at(40), now: Self.at(69)))
  }

  @Test("what was held before a gap is not, though beats go on")
  func gap() {
    let pulse = NodePulse()
    pulse.beat(at: Self.at(0))
    pulse.beat(at: Self.at(2))
    pulse.beat(at: Self.at(32))
    #expect(!pulse.isUnbroken(since: Self.at(1), now: Self.at(33)))
    #expect(pulse.isUnbroken(since: Self.at(32), now: Self.at(33)))
  }

  @Test("a beat that comes late is as old as its beginning")
  func late() {
    let pulse = NodePulse()
    pulse.beat(at: Self.at(0))
    pulse.beat(at: Self.at(4))
    pulse.beat(at: Self.at(3))
    #expect(pulse.isUnbroken(since: Self.at(1), now: Self.at(11)))
    #expect(!pulse.isUnbroken(since: Self.at(1), now: Self.at(13)))
  }
}
