/// How long to wait before another try.
package enum Backoff {
  /// Doubles from `base` to `limit`, with up to a half taken away at random, so that those who failed
  /// together do not come back together.
  /// - Parameter attempt: from 1.
  package static func seconds(attempt: Int, base: Double, limit: Double, random: UInt64) -> Double {
    let full = min(limit, base * Double(UInt64(1) << UInt64(min(max(attempt, 1) - 1, 30))))
    return full * (1 - Double(random % 1_000) / 2_000)
  }
}
