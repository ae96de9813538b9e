import Testing

@testable import Postgres

@Suite("Pipeline state machine")
struct PipelineStateMachineTests {
  @Test("three stretches, an error in the middle one: its rest is skipped, its neighbours are untouched")
  func errorInTheMiddle() {
    var machine = PipelineStateMachine()
    machine.sent(1, steps: 1)
    machine.sent(2, steps: 3)
    machine.sent(3, steps: 1)
    #expect(machine.inFlight == 3)
    #expect(machine.received(.result) == .deliver(1, step: 0))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.sync) == .finish(1, committed: true))
    #expect(machine.received(.result) == .deliver(2, step: 0))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.failed) == .fail(2, step: 1))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.skipped) == .skip(2, step: 2))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.sync) == .finish(2, committed: false))
    #expect(machine.received(.result) == .deliver(3, step: 0))
    #expect(machine.received(.end) == .nothing)
    #expect(!machine.isIdle)
    #expect(machine.received(.sync) == .finish(3, committed: true))
    #expect(machine.isIdle)
  }

  @Test("a fault at the commit itself fails the stretch after all its results")
  func errorAtSync() {
    var machine = PipelineStateMachine()
    machine.sent(7, steps: 1)
    #expect(machine.received(.result) == .deliver(7, step: 0))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.failed) == .fail(7, step: 1))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.sync) == .finish(7, committed: false))
    #expect(machine.isIdle)
  }

  @Test("a stretch that waits behind another is cancelled when its turn comes, never before")
  func cancelLater() {
    var machine = PipelineStateMachine()
    machine.sent(1, steps: 1)
    machine.sent(2, steps: 1)
    #expect(machine.cancelAsked(2) == .cancelLater)
    #expect(machine.received(.result) == .deliver(1, step: 0))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.sync) == .finishAndCancel(1, committed: true, next: 2))
    #expect(machine.received(.failed) == .fail(2, step: 0))
    #expect(machine.received(.end) == .nothing)
    #expect(machine.received(.sync) == .finish(2, committed: false))
  }

  @Test("the stretch at work is cancelled at once; one that is over is unknown")
  func cancelNow() {
    var machine = PipelineStateMachine()
    machine.sent(1, steps: 1)
    #expect(machine.cancelAsked(1) == .cancelNow)
    _ = machine.received(.result)
    _ = machine.received(.end)
    _ = machine.received(.sync)
    #expect(machine.cancelAsked(1) == .unknown)
  }

  @Test("a closed connection leaves exactly the unfinished stretches, in order")
  func closed() {
    var machine = PipelineStateMachine()
    for id in 1...3 { machine.sent(UInt64(id), steps: 1) }
    _ = machine.received(.result)
    _ = machine.received(.end)
    _ = machine.received(.sync)
    #expect(machine.closed() == [2, 3])
    #expect(machine.isBroken)
    #expect(machine.cancelAsked(2) == .unknown)
  }

  @Test(
    "replies out of order break the connection off",
    arguments: [.end, .skipped, .sync] as [PipelineStateMachine.Reply])
  func outOfOrder(_ reply: PipelineStateMachine.Reply) {
    var machine = PipelineStateMachine()
    machine.sent(1, steps: 1)
    guard case .breakOff = machine.received(reply) else {
      Issue.record("\(reply) was taken")
      return
    }
    #expect(machine.isBroken)
  }

  @Test("a reply while nothing was asked breaks the connection off")
  func unasked() {
    var machine = PipelineStateMachine()
    guard case .breakOff = machine.received(.result) else {
      Issue.record("it was taken")
      return
    }
  }

  @Test("a thousand stretches leave nothing behind")
  func many() {
    var machine = PipelineStateMachine()
    for id in 0..<1_000 as Range<UInt64> { machine.sent(id, steps: 1) }
    for id in 0..<1_000 as Range<UInt64> {
      #expect(machine.received(.result) == .deliver(id, step: 0))
      _ = machine.received(.end)
      #expect(machine.received(.sync) == .finish(id, committed: true))
    }
    #expect(machine.isIdle)
    #expect(machine.inFlight == 0)
  }
}
