import CLinux
import Glibc

/// What a file descriptor is ready for.
package struct Readiness: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let readable = Readiness(rawValue: 1)
  package static let writable = Readiness(rawValue: 2)
  /// The peer closed its side, or the connection failed. Reading tells which.
  package static let hangUp = Readiness(rawValue: 4)
}

/// What a poller tells about readiness. Called on the loop.
protocol Selectable: AnyObject {
  func ready(_ readiness: Readiness)
}

/// One epoll set. The user data of an event holds the descriptor and a registration number, so an
/// event of a descriptor that was closed and reused in the same batch is dropped.
struct Poller {
  enum Trigger {
    /// Reports as long as the condition holds.
    case level
    /// Reports changes only; the owner keeps what it knows.
    case edge
  }

  private struct Slot {
    var target: (any Selectable)?
    var registration: UInt32
  }

  private let epoll: Int32
  private var slots: [Slot] = []
  private var lastRegistration: UInt32 = 0
  private var events: UnsafeMutablePointer<epoll_event>
  private static let eventsMax = 256

  private static let input: UInt32 = 0x001
  private static let output: UInt32 = 0x004
  private static let failed: UInt32 = 0x008
  private static let hungUp: UInt32 = 0x010
  private static let peerClosed: UInt32 = 0x2000
  private static let edgeTriggered: UInt32 = 1 << 31

  init() throws(SocketError) {
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else { throw .system(errno: errno, operation: "epoll_create1") }
    events = .allocate(capacity: Self.eventsMax)
  }

  /// Frees the epoll set. The poller must not be used afterwards.
  func destroy() {
    close(epoll)
    events.deallocate()
  }

  mutating func add(
    _ fd: Int32, _ target: any Selectable, _ interest: Readiness, _ trigger: Trigger
  ) throws(SocketError) {
    lastRegistration &+= 1
    let registration = lastRegistration
    while slots.count <= Int(fd) { slots.append(Slot(target: nil, registration: 0)) }
    slots[Int(fd)] = Slot(target: target, registration: registration)
    guard control(EPOLL_CTL_ADD, fd, mask(interest, trigger), registration) else {
      let error = errno
      slots[Int(fd)].target = nil
      throw .system(errno: error, operation: "epoll_ctl")
    }
  }

  func modify(_ fd: Int32, _ interest: Readiness, _ trigger: Trigger) {
    _ = control(EPOLL_CTL_MOD, fd, mask(interest, trigger), slots[Int(fd)].registration)
  }

  mutating func remove(_ fd: Int32) {
    guard Int(fd) < slots.count, slots[Int(fd)].target != nil else { return }
    slots[Int(fd)].target = nil
    _ = control(EPOLL_CTL_DEL, fd, 0, 0)
  }

  /// Waits for events. - Returns: their number.
  func wait(milliseconds: Int32) -> Int {
    let count = epoll_wait(epoll, events, Int32(Self.eventsMax), milliseconds)
    guard count < 0, errno == EINTR else { return Int(max(0, count)) }
    // The process was stopped for a while (signal(7)). What came meanwhile is seen before the timers that ran
    // out meanwhile: a deadline would close a connection with an answer in it.
    return Int(max(0, epoll_wait(epoll, events, Int32(Self.eventsMax), 0)))
  }

  /// The target of event `index` of the last wait; nil when it was removed since.
  func event(_ index: Int) -> (target: any Selectable, readiness: Readiness)? {
    let token = events[index].data.u64
    let fd = Int(token & 0xffff_ffff)
    guard fd < slots.count, slots[fd].registration == UInt32(token >> 32), let target = slots[fd].target
    else { return nil }
    let bits = events[index].events
    var readiness: Readiness = []
    if bits & Self.input != 0 { readiness.insert(.readable) }
    if bits & Self.output != 0 { readiness.insert(.writable) }
    if bits & (Self.peerClosed | Self.hungUp | Self.failed) != 0 {
      readiness.formUnion([.hangUp, .readable])
      if bits & (Self.hungUp | Self.failed) != 0 { readiness.insert(.writable) }
    }
    return (target, readiness)
  }

  private func mask(_ interest: Readiness, _ trigger: Trigger) -> UInt32 {
    var bits = Self.peerClosed
    if interest.contains(.readable) { bits |= Self.input }
    if interest.contains(.writable) { bits |= Self.output }
    if trigger == .edge { bits |= Self.edgeTriggered }
    return bits
  }

  private func control(_ operation: Int32, _ fd: Int32, _ bits: UInt32, _ registration: UInt32) -> Bool {
    let token = UInt64(registration) << 32 | UInt64(UInt32(bitPattern: fd))
    return hub_epoll_ctl(epoll, operation, fd, bits, token) == 0
  }
}
