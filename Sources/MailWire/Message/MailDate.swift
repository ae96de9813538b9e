import Bytes

/// The date of RFC 5322 section 3.3, in UTC: `Fri, 21 Nov 1997 09:55:06 +0000`.
enum MailDate {
  static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]
  private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]

  static func format(_ moment: Timestamp) -> String {
    let parts = parts(moment)
    let seconds = moment.clamped.seconds
    let dayNumber = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    let weekday = days[Int((dayNumber % 7 + 7) % 7)]
    return "\(weekday), \(two(parts.day)) \(months[parts.month - 1]) \(parts.year) \(parts.time) +0000"
  }

  /// The moment's fields in UTC; `year` has four digits, `time` is `09:55:06`.
  static func parts(_ moment: Timestamp) -> (year: String, month: Int, day: Int, time: String) {
    let text = Array(moment.rfc3339.utf8)
    func part(_ from: Int, _ to: Int) -> String { String(decoding: text[from..<to], as: UTF8.self) }
    return (part(0, 4), Int(part(5, 7)) ?? 1, Int(part(8, 10)) ?? 1, part(11, 19))
  }

  static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
