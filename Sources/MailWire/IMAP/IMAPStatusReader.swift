/// Reads what stands behind OK, NO, BAD, BYE and PREAUTH: ` [CODE arguments] text`.
enum IMAPStatusReader {
  static func read(
    _ condition: IMAPCondition, _ rest: ArraySlice<UInt8>
  ) throws(IMAPParseError) -> IMAPStatus {
    let body = rest.drop { $0 == UInt8(ascii: " ") }
    guard body.first == UInt8(ascii: "["), let end = closingBracket(body) else {
      return IMAPStatus(condition, text: String(decoding: body, as: UTF8.self))
    }
    let text = body[(end + 1)...].drop { $0 == UInt8(ascii: " ") }
    let inside = Array(body[(body.startIndex + 1)..<end])
    return IMAPStatus(
      condition, code: try code(inside), text: String(decoding: text, as: UTF8.self))
  }

  /// The bracket may hold quoted strings that hold brackets.
  private static func closingBracket(_ body: ArraySlice<UInt8>) -> Int? {
    var isQuoted = false
    var index = body.startIndex + 1
    while index < body.endIndex {
      switch body[index] {
      case UInt8(ascii: "\""): isQuoted.toggle()
      case UInt8(ascii: "\\"): if isQuoted { index += 1 }
      case UInt8(ascii: "]"): if !isQuoted { return index }
      default: break
      }
      index += 1
    }
    return nil
  }

  private static func code(_ inside: [UInt8]) throws(IMAPParseError) -> IMAPResponseCode {
    let word = inside.prefix { $0 != UInt8(ascii: " ") }
    let name = String(decoding: word, as: UTF8.self).uppercased()
    if let simple = simple[name] { return simple }
    let rest = inside.dropFirst(word.count).drop { $0 == UInt8(ascii: " ") }
    switch name {
    case "CAPABILITY":
      let words = rest.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
      return .capability(IMAPCapabilities(Set(words.map { $0.uppercased() })))
    case "UIDVALIDITY": return .uidValidity(try number32(rest, name))
    case "UIDNEXT": return .uidNext(try number32(rest, name))
    case "UNSEEN": return .unseen(try number32(rest, name))
    case "HIGHESTMODSEQ":
      guard let value = IMAPNumber.parse(rest) else { throw .malformed(name) }
      return .highestModSeq(value)
    case "PERMANENTFLAGS":
      let flags = rest.filter { $0 != UInt8(ascii: "(") && $0 != UInt8(ascii: ")") }
      return .permanentFlags(
        flags.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) })
    case "APPENDUID", "COPYUID": return try places(rest, name)
    default: return .other(String(decoding: inside, as: UTF8.self))
    }
  }

  private static let simple: [String: IMAPResponseCode] = [
    "ALERT": .alert, "NOMODSEQ": .noModSeq, "READ-ONLY": .readOnly, "READ-WRITE": .readWrite,
    "TRYCREATE": .tryCreate, "AUTHENTICATIONFAILED": .authenticationFailed,
    "AUTHORIZATIONFAILED": .authorizationFailed, "EXPIRED": .expired, "PRIVACYREQUIRED": .privacyRequired,
    "CONTACTADMIN": .contactAdmin, "UNAVAILABLE": .unavailable, "INUSE": .inUse, "LIMIT": .limit,
    "OVERQUOTA": .overQuota, "SERVERBUG": .serverBug, "NOPERM": .noPermission,
    "NONEXISTENT": .nonExistent, "ALREADYEXISTS": .alreadyExists,
  ]

  private static func places(_ rest: ArraySlice<UInt8>, _ name: String) throws(IMAPParseError)
    -> IMAPResponseCode
  {
    let words = rest.split(separator: UInt8(ascii: " "))
    guard words.count == (name == "COPYUID" ? 3 : 2), let first = IMAPNumberSet(wire: words[1]),
      let last = IMAPNumberSet(wire: words[words.count - 1])
    else { throw .malformed(name) }
    let validity = try number32(words[0], name)
    return name == "COPYUID"
      ? .copyUID(uidValidity: validity, source: first, destination: last)
      : .appendUID(uidValidity: validity, uids: first)
  }

  private static func number32(_ digits: ArraySlice<UInt8>, _ name: String) throws(IMAPParseError) -> UInt32 {
    guard let value = IMAPNumber.parse(digits).flatMap({ UInt32(exactly: $0) }) else {
      throw .malformed(name)
    }
    return value
  }
}
