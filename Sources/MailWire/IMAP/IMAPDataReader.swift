/// Gives the values of an untagged response their meaning.
struct IMAPDataReader {
  let namesAreUTF8: Bool

  func read(_ values: [IMAPValue]) throws(IMAPParseError) -> IMAPResponse {
    guard let first = values.first, case .atom = first, let word = first.text else {
      throw .malformed("response")
    }
    if let number = first.number { return try numbered(number, values.dropFirst()) }
    guard let initial = word.unicodeScalars.first, initial.properties.isAlphabetic else {
      throw .malformed("response")
    }
    let rest = values.dropFirst()
    let name = word.uppercased()
    switch name {
    case "CAPABILITY": return .capability(IMAPCapabilities(Set(try words(rest, name))))
    case "ENABLED": return .enabled(Set(try words(rest, name)))
    case "LIST", "LSUB", "XLIST": return .mailbox(try mailbox(Array(rest)))
    case "STATUS": return try mailboxStatus(Array(rest))
    case "SEARCH": return try search(rest)
    case "ESEARCH": return try extendedSearch(Array(rest))
    case "FLAGS":
      guard let flags = rest.first?.list else { throw .malformed(name) }
      return .flags(flags.compactMap(\.text))
    case "VANISHED": return try vanished(Array(rest))
    default: return .other(name)
    }
  }

  private func numbered(
    _ number: UInt64, _ rest: ArraySlice<IMAPValue>
  ) throws(IMAPParseError) -> IMAPResponse {
    guard let number = UInt32(exactly: number), let name = rest.first?.text?.uppercased() else {
      throw .malformed("number")
    }
    switch name {
    case "EXISTS": return .exists(number)
    case "RECENT": return .recent(number)
    case "EXPUNGE": return .expunge(number)
    case "FETCH":
      guard let items = rest.dropFirst().first?.list else { throw .malformed(name) }
      return .fetch(try IMAPFetchReader.read(number, items))
    default: return .other(name)
    }
  }

  private func words(_ values: ArraySlice<IMAPValue>, _ name: String) throws(IMAPParseError) -> [String] {
    var words: [String] = []
    for value in values {
      guard let text = value.text else { throw .malformed(name) }
      words.append(text.uppercased())
    }
    return words
  }

  // MARK: Mailboxes

  /// A name that is not modified UTF-7, as some servers send it, is taken as it stands.
  private func name(_ value: IMAPValue) -> String? {
    guard let text = value.text else { return nil }
    if text.uppercased() == "INBOX" { return "INBOX" }
    return namesAreUTF8 ? text : IMAPMailboxName.decode(text) ?? text
  }

  private func mailbox(_ values: [IMAPValue]) throws(IMAPParseError) -> IMAPMailbox {
    guard values.count >= 3, let attributes = values[0].list, let name = name(values[2]) else {
      throw .malformed("LIST")
    }
    let delimiter = values[1].bytes.map { String(decoding: $0, as: UTF8.self) }
    return IMAPMailbox(name: name, attributes: attributes.compactMap(\.text), delimiter: delimiter)
  }

  private func mailboxStatus(_ values: [IMAPValue]) throws(IMAPParseError) -> IMAPResponse {
    guard values.count >= 2, let name = name(values[0]), let list = values[1].list else {
      throw .malformed("STATUS")
    }
    var numbers: [String: UInt64] = [:]
    for index in stride(from: 0, to: list.count - list.count % 2, by: 2) {
      if let key = list[index].text, let number = list[index + 1].number {
        numbers[key.uppercased()] = number
      }
    }
    return .mailboxStatus(name: name, values: numbers)
  }

  // MARK: Searches

  private func search(_ values: ArraySlice<IMAPValue>) throws(IMAPParseError) -> IMAPResponse {
    var numbers: [UInt32] = []
    var modSeq: UInt64?
    for value in values {
      if let list = value.list {
        guard list.count == 2, list[0].text?.uppercased() == "MODSEQ", let number = list[1].number else {
          throw .malformed("SEARCH")
        }
        modSeq = number
      } else {
        guard let number = value.number.flatMap({ UInt32(exactly: $0) }) else { throw .malformed("SEARCH") }
        numbers.append(number)
      }
    }
    return .found(IMAPNumberSet(numbers), modSeq: modSeq)
  }

  /// `(TAG "A1") UID ALL 1:3 MODSEQ 7`; without ALL nothing was found.
  private func extendedSearch(_ values: [IMAPValue]) throws(IMAPParseError) -> IMAPResponse {
    var found = IMAPNumberSet()
    var modSeq: UInt64?
    var index = values.first?.list == nil ? 0 : 1
    if index < values.count, values[index].text?.uppercased() == "UID" { index += 1 }
    while index + 1 < values.count {
      switch values[index].text?.uppercased() {
      case "ALL":
        guard let bytes = values[index + 1].bytes, let set = IMAPNumberSet(wire: bytes) else {
          throw .malformed("ESEARCH")
        }
        found = set
      case "MODSEQ": modSeq = values[index + 1].number
      default: break
      }
      index += 2
    }
    return .found(found, modSeq: modSeq)
  }

  private func vanished(_ values: [IMAPValue]) throws(IMAPParseError) -> IMAPResponse {
    let earlier = values.first?.list?.first?.text?.uppercased() == "EARLIER"
    guard let bytes = values.last?.bytes, let set = IMAPNumberSet(wire: bytes) else {
      throw .malformed("VANISHED")
    }
    return .vanished(set, earlier: earlier)
  }
}
