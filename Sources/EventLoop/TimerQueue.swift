/// Names one scheduled call, to take it back.
package struct TimerToken: Sendable, Hashable {
  let id: UInt64
}

/// The timers of one loop: a binary heap by time, then by order of scheduling.
///
/// Taking a timer back removes only its call; the empty entry is dropped when it comes to the top, or
/// by a rebuild when more than half of the heap is empty.
struct TimerQueue {
  private struct Entry {
    let due: LoopInstant
    let id: UInt64
  }

  private var heap: [Entry] = []
  private var calls: [UInt64: () -> Void] = [:]
  private var lastID: UInt64 = 0

  /// Timers that will still fire.
  var count: Int { calls.count }

  /// When the next timer is due; nil when there is none.
  var nextDue: LoopInstant? { heap.first?.due }

  mutating func schedule(at due: LoopInstant, _ call: @escaping () -> Void) -> TimerToken {
    lastID += 1
    calls[lastID] = call
    heap.append(Entry(due: due, id: lastID))
    siftUp(heap.count - 1)
    return TimerToken(id: lastID)
  }

  mutating func cancel(_ token: TimerToken) {
    guard calls.removeValue(forKey: token.id) != nil else { return }
    if heap.count > 64 && heap.count > calls.count * 2 {
      heap = heap.filter { calls[$0.id] != nil }
      heap.sort(by: Self.earlier)
    }
  }

  /// Takes out the next call that is due at `now`; nil when none is.
  mutating func popDue(_ now: LoopInstant) -> (() -> Void)? {
    while let first = heap.first, first.due <= now {
      removeFirst()
      if let call = calls.removeValue(forKey: first.id) { return call }
    }
    return nil
  }

  private static func earlier(_ left: Entry, _ right: Entry) -> Bool {
    left.due == right.due ? left.id < right.id : left.due < right.due
  }

  private mutating func removeFirst() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var index = 0
    while true {
      let left = 2 * index + 1
      guard left < heap.count else { return }
      let right = left + 1
      let child = right < heap.count && Self.earlier(heap[right], heap[left]) ? right : left
      guard Self.earlier(heap[child], heap[index]) else { return }
      heap.swapAt(child, index)
      index = child
    }
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      guard Self.earlier(heap[index], heap[parent]) else { return }
      heap.swapAt(index, parent)
      index = parent
    }
  }
}
