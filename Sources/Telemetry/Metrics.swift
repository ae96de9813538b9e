import Synchronization

/// A number that only rises. Adding is one relaxed atomic operation, from any thread.
package final class Counter: Sendable {
  private let count = Atomic<UInt64>(0)

  package func add(_ amount: Int = 1) {
    guard amount > 0 else { return }
    count.wrappingAdd(UInt64(amount), ordering: .relaxed)
  }

  package var value: UInt64 { count.load(ordering: .relaxed) }
}

/// A whole number that rises and falls. For others, give the registry a closure.
package final class Gauge: Sendable {
  private let number = Atomic<Int64>(0)

  package func add(_ amount: Int = 1) {
    number.wrappingAdd(Int64(amount), ordering: .relaxed)
  }

  package func set(_ value: Int) {
    number.store(Int64(value), ordering: .relaxed)
  }

  package var value: Int64 { number.load(ordering: .relaxed) }
}

/// A distribution over fixed buckets.
package final class Histogram: Sendable {
  /// 100 microseconds to 10 seconds, for latencies in seconds.
  package static let latencyBounds: [Double] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]

  /// Upper bounds, inclusive, rising; one more bucket holds the rest.
  package let bounds: [Double]
  private let buckets: [Counter]
  private let sumBits = Atomic<UInt64>(0)

  init(bounds: [Double]) {
    precondition(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "bounds must rise")
    self.bounds = bounds
    buckets = (0...bounds.count).map { _ in Counter() }
  }

  package func observe(_ value: Double) {
    var index = 0
    while index < bounds.count && value > bounds[index] { index += 1 }
    buckets[index].add()
    var old = sumBits.load(ordering: .relaxed)
    while true {
      let new = (Double(bitPattern: old) + value).bitPattern
      let (exchanged, original) = sumBits.weakCompareExchange(
        expected: old, desired: new, ordering: .relaxed)
      if exchanged { return }
      old = original
    }
  }

  /// Observations in each bucket, not cumulated.
  package var counts: [UInt64] { buckets.map(\.value) }
  package var sum: Double { Double(bitPattern: sumBits.load(ordering: .relaxed)) }
}
