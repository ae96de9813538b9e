import Synchronization
import Testing

@testable import EventLoop

@Suite("Event loop")
struct EventLoopTests {
  @Test("runs calls in the order of submission")
  func order() async throws {
    let loop = try EventLoop(name: "order")
    defer { loop.shutDown() }
    let seen = Mutex<[Int]>([])
    for number in 0..<2_000 { loop.execute { seen.withLock { $0.append(number) } } }
    await loop.shard.run { shard in _ = shard }
    #expect(seen.withLock { $0 } == Array(0..<2_000))
  }

  @Test("tasks of the shard and what they await stay on the loop")
  func isolation() async throws {
    let loop = try EventLoop(name: "isolation")
    defer { loop.shutDown() }
    let stayed = try await loop.shard.run { shard in
      guard shard.loop.inLoop else { return false }
      try await shard.loop.sleep(for: .milliseconds(2))
      guard shard.loop.inLoop else { return false }
      return await plainHelper(shard.loop)
    }
    #expect(stayed)
    #expect(!loop.inLoop)
  }

  @Test("timers fire in the order of their times, cancelled ones never")
  func timers() async throws {
    let loop = try EventLoop(name: "timers")
    defer { loop.shutDown() }
    let fired = Mutex<[String]>([])
    try await loop.shard.run { shard in
      let loop = shard.loop
      loop.schedule(after: .milliseconds(12)) { fired.withLock { $0.append("third") } }
      loop.schedule(after: .milliseconds(4)) { fired.withLock { $0.append("first") } }
      let cancelled = loop.schedule(after: .milliseconds(6)) { fired.withLock { $0.append("never") } }
      loop.schedule(after: .milliseconds(8)) { fired.withLock { $0.append("second") } }
      loop.cancel(cancelled)
      try await loop.sleep(for: .milliseconds(20))
    }
    #expect(fired.withLock { $0 } == ["first", "second", "third"])
  }

  @Test("a cancelled sleep ends at once")
  func cancelledSleep() async throws {
    let loop = try EventLoop(name: "cancel")
    defer { loop.shutDown() }
    let task = Task {
      try await loop.shard.run { shard in try await shard.loop.sleep(for: .seconds(60)) }
    }
    await loop.shard.run { shard in _ = shard }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  private func plainHelper(_ loop: EventLoop) async -> Bool { loop.inLoop }
}

@Suite("Timer queue")
struct TimerQueueTests {
  @Test("gives what is due, earliest first, and forgets most cancelled entries")
  func heap() {
    var queue = TimerQueue()
    var fired: [Int] = []
    var tokens: [TimerToken] = []
    for number in 0..<500 {
      let due = LoopInstant(nanoseconds: UInt64((number * 7_919) % 500))
      tokens.append(queue.schedule(at: due) { fired.append((number * 7_919) % 500) })
    }
    for (index, token) in tokens.enumerated() where index.isMultiple(of: 3) { queue.cancel(token) }
    while let call = queue.popDue(LoopInstant(nanoseconds: 250)) { call() }
    #expect(fired == fired.sorted())
    #expect(fired.allSatisfy { $0 <= 250 })
    while let call = queue.popDue(LoopInstant(nanoseconds: 1_000)) { call() }
    #expect(fired.count == 333)
    #expect(queue.nextDue == nil)
  }
}
