import Bytes
import JSON
import Messaging

/// History of a list that is sorted by activity. What becomes active while older pages are read moves in
/// front of them and would be left out: after a pass of several pages, what was active since it began is
/// read in another.
enum HistoryPass {
  /// Each has less to read than the one before.
  private static let passesMax: Int64 = 4
  private static let names: Set<String> = ["from", "began", "passes"]

  /// What has to have been active since; nil: this is the first pass.
  static func from(_ job: PollJob) -> Timestamp? {
    job.cursor?["from"]?.integer.map { Timestamp(seconds: $0).clamped }
  }

  /// The part of a cursor that is about passes.
  static func members(of job: PollJob) -> [String: JSONValue] {
    (job.cursor?.object ?? [:]).filter { names.contains($0.key) }
  }

  /// A page was read.
  /// - Parameter isLast: of its pass.
  /// - Returns: whether there is more.
  static func turn(
    _ members: inout [String: JSONValue], isLast: Bool, now: Timestamp, overlapSeconds: Int64
  ) -> Bool {
    guard isLast else {
      members["began"] = members["began"] ?? .integer(now.seconds)
      return true
    }
    let passes = (members["passes"]?.integer ?? 0) + 1
    guard let began = members.removeValue(forKey: "began")?.integer, passes < passesMax else { return false }
    members["passes"] = .integer(passes)
    members["from"] = .integer(began - overlapSeconds)
    return true
  }
}
