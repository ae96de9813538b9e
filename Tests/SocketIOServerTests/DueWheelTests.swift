import Testing

@testable import SocketIOServer

@Suite("DueWheel")
struct DueWheelTests {
  @Test("Things come out in their slot, a tick early at most, and never late")
  func slots() {
    var wheel = DueWheel<Int>(tickMilliseconds: 10, slotCount: 8, nowMilliseconds: 100)
    wheel.insert(1, dueMilliseconds: 125)
    wheel.insert(2, dueMilliseconds: 130)
    wheel.insert(3, dueMilliseconds: 90)
    #expect(wheel.popDue(nowMilliseconds: 109) == [])
    #expect(wheel.popDue(nowMilliseconds: 110) == [3])
    #expect(wheel.popDue(nowMilliseconds: 119) == [])
    #expect(wheel.popDue(nowMilliseconds: 131) == [1, 2])
    #expect(wheel.count == 0)
  }

  @Test("What lies beyond the wheel comes out at its end; a late turn gives all that is due once")
  func beyond() {
    var wheel = DueWheel<Int>(tickMilliseconds: 10, slotCount: 4, nowMilliseconds: 0)
    wheel.insert(1, dueMilliseconds: 10_000)
    #expect(wheel.popDue(nowMilliseconds: 29) == [])
    #expect(wheel.popDue(nowMilliseconds: 30) == [1])
    for element in 2...4 { wheel.insert(element, dueMilliseconds: 30 + Int64(element) * 10) }
    #expect(wheel.popDue(nowMilliseconds: 5_000).sorted() == [2, 3, 4])
    wheel.insert(5, dueMilliseconds: 5_010)
    #expect(wheel.popDue(nowMilliseconds: 5_010) == [5])
  }
}
