import Bytes
import Messaging

extension PollJob {
  /// Whether less than some seconds, at the usual pace, have passed since the one that the cursor has for the
  /// last pass. Pages of history come between those of a live poll, which need not ask again for each.
  func isSoon(after second: Int64?, seconds: Int64) -> Bool {
    guard mode == .live, let second else { return false }
    let (age, isFar) = now.seconds.subtractingReportingOverflow(second)
    return !isFar && age >= 0 && Double(age) * pace < Double(seconds)
  }
}
