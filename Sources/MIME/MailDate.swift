package import Bytes

/// Dates of header fields: `Fri, 20 Nov 2026 23:59:58 +0100 (CET)` (RFC 5322 sections 3.3 and 4.3).
package enum MailDate {
  private static let months = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
  ]
  /// Minutes east of Greenwich. Other names say nothing, and count as UTC.
  private static let zones: [String: Int] = [
    "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420,
  ]

  /// nil for what is no date, and for days that no month has.
  package static func parse(_ text: String) -> Timestamp? {
    let words = text.utf8.prefix(128).map(ASCII.lowercased).split { byte in
      ASCII.isSpace(byte) || byte == UInt8(ascii: ",")
    }.map { String(decoding: $0, as: UTF8.self) }
    guard let place = words.firstIndex(where: { months.contains(String($0.prefix(3))) }), place >= 1,
      words.count > place + 2, let month = months.firstIndex(of: String(words[place].prefix(3))),
      let day = number(words[place - 1]), var year = number(words[place + 1])
    else { return nil }
    if year < 50 { year += 2_000 } else if year < 1_000 { year += 1_900 }
    let clock = words[place + 2].split(separator: ":", omittingEmptySubsequences: false).map {
      number(String($0))
    }
    guard (2...3).contains(clock.count), let hour = clock[0], let minute = clock[1],
      let second = clock.count == 3 ? clock[2] : 0, year <= 9_999
    else { return nil }
    let zone = words.count > place + 3 ? words[place + 3] : ""
    let date = "\(padded(year, 4))-\(padded(month + 1, 2))-\(padded(day, 2))"
    let time = "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))"
    return Timestamp(rfc3339: "\(date)T\(time)\(offset(zone))")
  }

  private static func number(_ text: String) -> Int? {
    guard !text.isEmpty, text.utf8.count <= 4, text.utf8.allSatisfy({ (48...57).contains($0) }) else {
      return nil
    }
    return Int(text)
  }

  private static func padded(_ number: Int, _ digits: Int) -> String {
    var text = String(number)
    while text.utf8.count < digits { text = "0" + text }
    return text
  }

  private static func offset(_ zone: String) -> String {
    if zone.utf8.count == 5, zone.hasPrefix("+") || zone.hasPrefix("-"),
      let hours = number(String(zone.dropFirst().prefix(2))), let minutes = number(String(zone.suffix(2))),
      hours <= 23, minutes <= 59
    {
      return "\(zone.prefix(3)):\(zone.suffix(2))"
    }
    guard let minutes = zones[zone] else { return "Z" }
    return "\(minutes < 0 ? "-" : "+")\(padded(abs(minutes) / 60, 2)):\(padded(abs(minutes) % 60, 2))"
  }
}
