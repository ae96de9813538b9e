import Bytes

/// Reads the items of a FETCH response; those that nobody here asks for are passed over.
enum IMAPFetchReader {
  static func read(_ sequence: UInt32, _ items: [IMAPValue]) throws(IMAPParseError) -> IMAPFetch {
    guard items.count.isMultiple(of: 2) else { throw .malformed("FETCH") }
    var fetch = IMAPFetch(sequence: sequence)
    for index in stride(from: 0, to: items.count, by: 2) {
      guard case .atom = items[index], let name = items[index].text else { throw .malformed("FETCH") }
      try read(name, items[index + 1], into: &fetch)
    }
    return fetch
  }

  private static func read(
    _ name: String, _ value: IMAPValue, into fetch: inout IMAPFetch
  ) throws(IMAPParseError) {
    switch name.uppercased() {
    case "UID":
      guard let uid = value.number.flatMap({ UInt32(exactly: $0) }) else { throw .malformed("UID") }
      fetch.uid = uid
    case "FLAGS":
      guard let flags = value.list else { throw .malformed("FLAGS") }
      fetch.flags = flags.compactMap(\.text)
    case "INTERNALDATE":
      guard let bytes = value.bytes else { throw .malformed("INTERNALDATE") }
      fetch.internalDate = IMAPDateTime.parse(String(decoding: bytes, as: UTF8.self))
    case "RFC822.SIZE":
      guard let size = value.number else { throw .malformed("RFC822.SIZE") }
      fetch.size = size
    case "MODSEQ":
      guard let number = value.list?.first?.number else { throw .malformed("MODSEQ") }
      fetch.modSeq = number
    default:
      if let section = section(name, value) { fetch.sections.append(section) }
    }
  }

  /// `BODY[HEADER]<0>`. nil for every other item.
  private static func section(_ name: String, _ value: IMAPValue) -> IMAPFetch.Section? {
    guard name.prefix(5).uppercased() == "BODY[", let end = name.lastIndex(of: "]") else { return nil }
    if case .list = value { return nil }
    let inside = name[name.index(name.startIndex, offsetBy: 5)..<end]
    let origin = name[name.index(after: end)...].drop { $0 == "<" }.prefix { $0 != ">" }
    return IMAPFetch.Section(
      name: inside.uppercased(), origin: IMAPNumber.parse(Array(origin.utf8)), bytes: value.bytes)
  }
}

/// `17-Jul-1996 02:44:25 -0700`, the form of INTERNALDATE and APPEND (RFC 9051 `date-time`).
enum IMAPDateTime {
  /// nil when it is not a date; a blank stands for the first digit of the day.
  static func parse(_ text: String) -> Timestamp? {
    let bytes = Array(text.utf8)
    guard bytes.count == 26, bytes[2] == UInt8(ascii: "-"), bytes[6] == UInt8(ascii: "-") else { return nil }
    func part(_ from: Int, _ to: Int) -> String { String(decoding: bytes[from..<to], as: UTF8.self) }
    guard let month = MailDate.months.firstIndex(of: part(3, 6).capitalizedASCII) else { return nil }
    let day = part(0, 2).replacing(" ", with: "0")
    return Timestamp(
      rfc3339:
        "\(part(7, 11))-\(MailDate.two(month + 1))-\(day)T\(part(12, 20))\(part(21, 24)):\(part(24, 26))")
  }

  /// UTC.
  static func format(_ moment: Timestamp) -> String {
    let parts = MailDate.parts(moment)
    return "\(MailDate.two(parts.day))-\(MailDate.months[parts.month - 1])-\(parts.year) \(parts.time) +0000"
  }
}

extension String {
  /// The first letter large, the others small.
  fileprivate var capitalizedASCII: String { prefix(1).uppercased() + dropFirst().lowercased() }
}
