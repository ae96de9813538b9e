import Bytes
import EventLoop
import Glibc

/// One keep-alive connection that posts webhooks and waits for their answers.
actor WebhookSender {
  /// What came of the requests.
  struct Tally: Sendable {
    var acknowledged = 0
    /// Answers by status, other than 2xx.
    var refused: [Int: Int] = [:]
    var times = Samples()

    mutating func add(_ other: Tally) {
      acknowledged += other.acknowledged
      refused.merge(other.refused) { $0 + $1 }
      times.add(other.times)
    }

    var refusedCount: Int { refused.values.reduce(0, +) }
    var refusedText: String {
      refused.sorted { $0.key < $1.key }.map { "\($0.value) times \($0.key)" }.joined(separator: ", ")
    }
  }

  nonisolated let loop: EventLoop
  private let address: SocketAddress
  private let template: WebhookTemplate
  private let firstChat: Int
  private let chatCount: Int
  private var nextID: Int
  private var socket: Socket?
  private var inbound = ByteBuffer()
  private var unanswered: [LoopInstant] = []

  /// - Parameters:
  ///   - firstChat, chatCount: the conversations that only this sender writes in, one after the other.
  ///   - firstID: message ids count up from it.
  init(
    loop: EventLoop, address: SocketAddress, template: WebhookTemplate, firstChat: Int, chatCount: Int,
    firstID: Int
  ) {
    self.loop = loop
    self.address = address
    self.template = template
    self.firstChat = firstChat
    self.chatCount = chatCount
    nextID = firstID
  }

  nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  func open() async throws {
    socket = try await Socket.connect(to: address, on: loop, deadline: loop.now + .seconds(10))
  }

  func close() {
    socket?.close()
    socket = nil
  }

  /// Sends one after the other until `end`; counts what was answered from `start` to `end`. Every
  /// request that was sent is answered when it returns; `total` has them all.
  func run(from start: LoopInstant, to end: LoopInstant) async throws -> (counted: Tally, total: Tally) {
    var counted = Tally()
    var total = Tally()
    while LoopInstant.current() < end {
      let sentAt = send(number: 0)
      let status = try await answer()
      let now = LoopInstant.current()
      total.note(status, now - sentAt)
      if now >= start && now <= end { counted.note(status, now - sentAt) }
      // An overloaded hub says when to come back; a sender that hammers on measures nothing.
      if status == 503 { try await loop.sleep(for: .milliseconds(20)) }
    }
    return (counted, total)
  }

  /// Sends a message without waiting. - Returns: the time that is written in it.
  @discardableResult
  func send(number: Int) -> LoopInstant {
    let id = nextID
    nextID += 1
    let now = LoopInstant.current()
    socket?.write(
      template.request(
        WebhookTemplate.Message(
          chat: firstChat + id % chatCount, id: id, date: Int(time(nil)),
          sentAtNanoseconds: now.nanoseconds, number: number)))
    unanswered.append(now)
    return now
  }

  /// Waits for the answers to all that was sent.
  func collect() async throws -> Tally {
    var tally = Tally()
    while !unanswered.isEmpty {
      let sentAt = unanswered[0]
      let status = try await answer()
      tally.note(status, LoopInstant.current() - sentAt)
    }
    return tally
  }

  private func answer() async throws -> Int {
    let deadline = loop.now + .seconds(30)
    while true {
      if let status = try AnswerScanner.read(&inbound) {
        unanswered.removeFirst()
        return status
      }
      guard let socket else { throw BenchFailure("not connected") }
      var buffer = inbound
      inbound = ByteBuffer()
      let count = try await socket.read(into: &buffer, deadline: deadline)
      inbound = buffer
      guard count > 0 else { throw BenchFailure("the hub closed a connection that sends webhooks") }
    }
  }
}

extension WebhookSender.Tally {
  mutating func note(_ status: Int, _ time: Duration) {
    if (200..<300).contains(status) {
      acknowledged += 1
    } else {
      refused[status, default: 0] += 1
    }
    times.add(time)
  }
}
