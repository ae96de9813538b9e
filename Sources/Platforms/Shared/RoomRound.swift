import Bytes
import HTTPWire
import JSON
import Messaging

/// Where a poll stands that lists conversations and then asks each of those that may have news. A round goes
/// over several pages; what comes while it lasts belongs to the next one.
struct RoomRound: Equatable {
  /// Conversations of one round, and so the size of a cursor.
  static let roomsMax = 2_000
  /// Of a page: their answers are held at once.
  static let roomsPerPage = 10
  /// What was read is read once more: clocks differ, and changes become visible late.
  static let overlapSeconds: Int64 = 60
  /// Edits, deletions and reactions do not always move a conversation up: for so long all that were active
  /// are asked.
  static let activeSeconds: Int64 = 86_400

  /// The server's time up to which everything was read; nil: nothing yet.
  var since: Timestamp?
  /// The server's time when the account was first polled, in whole seconds: what was said before is no news.
  private(set) var begin: Timestamp?
  /// The server's time when the round began; nil: none is under way.
  private(set) var until: Timestamp?
  /// Still to be asked, in the platform's form.
  private(set) var rooms: [JSONValue] = []

  init(_ json: JSONValue?) {
    since = json?["since"]?.integer.map { Timestamp(milliseconds: $0).clamped }
    begin = json?["begin"]?.integer.map { Timestamp(milliseconds: $0).clamped }
    until = json?["until"]?.integer.map { Timestamp(milliseconds: $0).clamped }
    rooms = json?["rooms"]?.array ?? []
  }

  init(since: Timestamp) {
    self.since = since
    begin = Timestamp(seconds: since.seconds)
  }

  var json: [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    members["since"] = since.map { .integer($0.microseconds / 1_000) }
    members["begin"] = begin.map { .integer($0.microseconds / 1_000) }
    members["until"] = until.map { .integer($0.microseconds / 1_000) }
    if !rooms.isEmpty { members["rooms"] = .array(rooms) }
    return members
  }

  /// What was found, without what is history.
  func news(_ content: Normalised) -> Normalised {
    guard let begin else { return content }
    return content.since { $0.sentAt >= begin }
  }

  var isUnderWay: Bool { until != nil && !rooms.isEmpty }
  var page: [JSONValue] { Array(rooms.prefix(Self.roomsPerPage)) }

  /// What is asked for: everything after this.
  var from: Timestamp {
    Timestamp(microseconds: (since ?? .earliest).microseconds - Self.overlapSeconds * 1_000_000).clamped
  }

  /// Whether a conversation with this last activity may have news.
  func mayHaveNews(_ lastActivity: Timestamp?, now: Timestamp) -> Bool {
    guard let lastActivity else { return true }
    return lastActivity >= from || now.seconds - lastActivity.seconds < Self.activeSeconds
  }

  mutating func begin(at time: Timestamp, rooms: [JSONValue]) {
    until = time
    self.rooms = Array(rooms.prefix(Self.roomsMax))
    if rooms.isEmpty { finish() }
  }

  /// The conversations of the page were read.
  mutating func advance() {
    rooms.removeFirst(min(Self.roomsPerPage, rooms.count))
    if rooms.isEmpty { finish() }
  }

  private mutating func finish() {
    since = until ?? since
    until = nil
  }

  /// When polling was set up, by the clock that is behind, the hub's or the server's. An answer may have
  /// taken its time, and with a moment that is too late messages would be lost.
  static func start(of answer: APIAnswer, _ job: PollJob) -> Timestamp {
    let age = job.now.microseconds - job.start.microseconds
    let byServer = Timestamp(microseconds: time(of: answer, now: job.now).microseconds - age).clamped
    return min(byServer, job.start)
  }

  /// When the server answered, by its own clock where it says so.
  static func time(of answer: APIAnswer, now: Timestamp) -> Timestamp {
    answer.header("date").flatMap { HTTPDate.parse($0) }.map { Timestamp(seconds: Int64($0)) } ?? now
  }
}
