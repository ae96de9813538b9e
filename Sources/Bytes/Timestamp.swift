/// A moment in time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// The precision of PostgreSQL. Pure: the clock is read elsewhere and passed in.
package struct Timestamp: Sendable, Comparable, Hashable, CustomStringConvertible {
  /// May be negative: before 1970.
  package var microseconds: Int64

  package init(microseconds: Int64) {
    self.microseconds = microseconds
  }

  /// Seconds since 1970, held at the ends of what fits.
  package init(seconds: Int64) {
    let (value, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    microseconds = overflow ? (seconds < 0 ? .min : .max) : value
  }

  /// Milliseconds since 1970, held at the ends of what fits.
  package init(milliseconds: Int64) {
    let (value, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000)
    microseconds = overflow ? (milliseconds < 0 ? .min : .max) : value
  }

  /// The earliest and the latest moment that RFC 3339 can write and PostgreSQL can hold:
  /// the years 1 to 9999.
  package static let earliest = Timestamp(microseconds: -62_135_596_800_000_000)
  package static let latest = Timestamp(microseconds: 253_402_300_799_999_999)

  /// The same moment, or the nearest one within `earliest ... latest`.
  package var clamped: Timestamp { min(max(self, .earliest), .latest) }

  /// Whole seconds since 1970, rounded down.
  package var seconds: Int64 { Self.floorDivide(microseconds, 1_000_000) }

  package static func < (left: Timestamp, right: Timestamp) -> Bool {
    left.microseconds < right.microseconds
  }

  package var description: String { rfc3339 }

  // MARK: RFC 3339

  /// UTC with milliseconds, rounded down: `2026-11-21T10:00:00.000Z`. Moments outside the years 1 to
  /// 9999 are written as the nearest one inside.
  package var rfc3339: String {
    let value = clamped.microseconds
    let day = Self.floorDivide(value, 86_400_000_000)
    let milliseconds = Int((value - day * 86_400_000_000) / 1_000)
    let (year, month, dayOfMonth) = Self.date(ofDay: day)
    return String(unsafeUninitializedCapacity: 24) { bytes in
      func put(_ number: Int, at offset: Int, digits: Int) {
        var rest = number
        for index in stride(from: offset + digits - 1, through: offset, by: -1) {
          bytes[index] = UInt8(truncatingIfNeeded: 48 + rest % 10)
          rest /= 10
        }
      }
      put(year, at: 0, digits: 4)
      bytes[4] = UInt8(ascii: "-")
      put(month, at: 5, digits: 2)
      bytes[7] = UInt8(ascii: "-")
      put(dayOfMonth, at: 8, digits: 2)
      bytes[10] = UInt8(ascii: "T")
      put(milliseconds / 3_600_000, at: 11, digits: 2)
      bytes[13] = UInt8(ascii: ":")
      put(milliseconds / 60_000 % 60, at: 14, digits: 2)
      bytes[16] = UInt8(ascii: ":")
      put(milliseconds / 1_000 % 60, at: 17, digits: 2)
      bytes[19] = UInt8(ascii: ".")
      put(milliseconds % 1_000, at: 20, digits: 3)
      bytes[23] = UInt8(ascii: "Z")
      return 24
    }
  }

  /// Reads RFC 3339 section 5.6: any offset, any number of fraction digits (those beyond the sixth
  /// are dropped), `T` and `Z` in either case, a leap second read as the second after. nil for
  /// anything else, and for days that no month has.
  package init?(rfc3339 text: some StringProtocol) {
    var reader = Reader(bytes: Array(text.utf8))
    guard reader.bytes.count <= 64, let year = reader.number(digits: 4), reader.take("-"),
      let month = reader.number(digits: 2), reader.take("-"), let day = reader.number(digits: 2),
      reader.take("T") || reader.take("t") || reader.take(" "),
      let hour = reader.number(digits: 2), reader.take(":"), let minute = reader.number(digits: 2),
      reader.take(":"), let second = reader.number(digits: 2),
      let fraction = reader.fraction(), let offset = reader.offsetMinutes(), reader.isAtEnd,
      (1...12).contains(month), day >= 1, day <= Self.days(inMonth: month, ofYear: year),
      hour <= 23, minute <= 59, second <= 60
    else { return nil }
    let days = Self.day(year: year, month: month, day: day)
    let seconds = days * 86_400 + Int64(hour * 3_600 + (minute - offset) * 60 + second)
    microseconds = seconds * 1_000_000 + Int64(fraction)
  }

  // MARK: Calendar (proleptic Gregorian)

  private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
    let quotient = value / divisor
    return value % divisor < 0 ? quotient - 1 : quotient
  }

  private static func days(inMonth month: Int, ofYear year: Int) -> Int {
    switch month {
    case 2: year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400)) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01. Years are counted from March, so that the leap day is the last of a year,
  /// in eras of 400 years, which all have 146,097 days.
  private static func day(year: Int, month: Int, day: Int) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let era = year >= 0 ? year / 400 : (year - 399) / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return Int64(era * 146_097 + dayOfEra - 719_468)
  }

  private static func date(ofDay day: Int64) -> (year: Int, month: Int, day: Int) {
    let shifted = Int(day) + 719_468
    let era = shifted >= 0 ? shifted / 146_097 : (shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
  }

  private struct Reader {
    let bytes: [UInt8]
    var index = 0

    var isAtEnd: Bool { index == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard index < bytes.count, UInt32(bytes[index]) == character.value else { return false }
      index += 1
      return true
    }

    mutating func digit() -> Int? {
      guard index < bytes.count, (48...57).contains(bytes[index]) else { return nil }
      defer { index += 1 }
      return Int(bytes[index]) - 48
    }

    mutating func number(digits: Int) -> Int? {
      var value = 0
      for _ in 0..<digits {
        guard let digit = digit() else { return nil }
        value = value * 10 + digit
      }
      return value
    }

    /// Microseconds; 0 when there is no fraction, nil when the point has no digit behind it.
    mutating func fraction() -> Int? {
      guard take(".") else { return 0 }
      guard var value = digit() else { return nil }
      var count = 1
      while let digit = digit() {
        if count < 6 {
          value = value * 10 + digit
          count += 1
        }
      }
      while count < 6 {
        value *= 10
        count += 1
      }
      return value
    }

    mutating func offsetMinutes() -> Int? {
      if take("Z") || take("z") { return 0 }
      let isEast = take("+")
      guard isEast || take("-"), let hours = number(digits: 2), take(":"),
        let minutes = number(digits: 2), hours <= 23, minutes <= 59
      else { return nil }
      return (isEast ? 1 : -1) * (hours * 60 + minutes)
    }
  }
}
