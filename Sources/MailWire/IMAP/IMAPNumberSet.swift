/// Message numbers as ranges, in ascending order without overlap (RFC 9051 `sequence-set`). A range is never
/// spelled out, so `1:4294967295` costs what one number costs.
package struct IMAPNumberSet: Sendable, Equatable, CustomStringConvertible {
  package private(set) var ranges: [ClosedRange<UInt32>]

  package init() {
    ranges = []
  }

  package init(_ range: ClosedRange<UInt32>) {
    ranges = [range]
  }

  /// Any order, repetitions allowed.
  package init(_ numbers: some Sequence<UInt32>) {
    self.init(ranges: numbers.map { $0...$0 })
  }

  package init(ranges: [ClosedRange<UInt32>]) {
    var merged: [ClosedRange<UInt32>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last,
        range.lowerBound <= last.upperBound || range.lowerBound - last.upperBound == 1
      {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    self.ranges = merged
  }

  /// Reads `1:3,7`. nil for anything else, and for `*`, which only a client may say.
  init?(wire text: some Collection<UInt8>) {
    var ranges: [ClosedRange<UInt32>] = []
    for part in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let ends = part.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard ends.count <= 2, let first = ends.first, let last = ends.last,
        let from = IMAPNumber.parse(first).flatMap({ UInt32(exactly: $0) }),
        let to = IMAPNumber.parse(last).flatMap({ UInt32(exactly: $0) })
      else { return nil }
      ranges.append(min(from, to)...max(from, to))
    }
    self.init(ranges: ranges)
  }

  package var isEmpty: Bool { ranges.isEmpty }
  package var last: UInt32? { ranges.last?.upperBound }

  /// How many numbers there are.
  package var count: Int { ranges.reduce(0) { $0 + Int($1.upperBound - $1.lowerBound) + 1 } }

  /// The first numbers, at most `limit`.
  package func prefix(_ limit: Int) -> [UInt32] {
    var numbers: [UInt32] = []
    for range in ranges {
      for number in range {
        guard numbers.count < limit else { return numbers }
        numbers.append(number)
      }
    }
    return numbers
  }

  /// The last numbers in rising order, at most `limit`.
  package func suffix(_ limit: Int) -> [UInt32] {
    var numbers: [UInt32] = []
    for range in ranges.reversed() {
      for number in range.reversed() {
        guard numbers.count < limit else { return numbers.reversed() }
        numbers.append(number)
      }
    }
    return numbers.reversed()
  }

  package func contains(_ number: UInt32) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < number { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].contains(number)
  }

  /// The numbers inside of `bounds`.
  package func clamped(to bounds: ClosedRange<UInt32>) -> IMAPNumberSet {
    IMAPNumberSet(ranges: ranges.filter { $0.overlaps(bounds) }.map { $0.clamped(to: bounds) })
  }

  package mutating func formUnion(_ other: IMAPNumberSet) {
    self = IMAPNumberSet(ranges: ranges + other.ranges)
  }

  /// As the wire has it: `1:3,7`.
  package var description: String {
    ranges.map { range in
      range.lowerBound == range.upperBound
        ? "\(range.lowerBound)" : "\(range.lowerBound):\(range.upperBound)"
    }.joined(separator: ",")
  }
}
