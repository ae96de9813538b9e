/// Things to look at again at some time, in slots of one tick each.
///
/// One repeating timer serves all sessions: putting one in costs an append, and a turn looks only at
/// those whose slot has come. Times are rounded down to the slot, so a thing comes out up to one tick
/// early and never later than the next turn. What lies beyond the wheel comes out at its end and is
/// put in again.
struct DueWheel<Element> {
  let tickMilliseconds: Int64
  private var slots: [[Element]]
  private var tick: Int64
  private(set) var count = 0

  init(tickMilliseconds: Int64, slotCount: Int, nowMilliseconds: Int64) {
    precondition(tickMilliseconds > 0 && slotCount > 1, "a wheel has at least two slots of some length")
    self.tickMilliseconds = tickMilliseconds
    slots = Array(repeating: [], count: slotCount)
    tick = nowMilliseconds / tickMilliseconds
  }

  mutating func insert(_ element: Element, dueMilliseconds: Int64) {
    let due = dueMilliseconds / tickMilliseconds
    let at = min(max(due, tick + 1), tick + Int64(slots.count) - 1)
    slots[Int(at % Int64(slots.count))].append(element)
    count += 1
  }

  /// Takes out what is due.
  mutating func popDue(nowMilliseconds: Int64) -> [Element] {
    let now = nowMilliseconds / tickMilliseconds
    var due: [Element] = []
    var turns = 0
    while tick < now && turns < slots.count {
      tick += 1
      turns += 1
      let index = Int(tick % Int64(slots.count))
      due.append(contentsOf: slots[index])
      slots[index] = []
    }
    tick = max(tick, now)
    count -= due.count
    return due
  }
}
