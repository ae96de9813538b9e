import Messaging

/// A flat XML document, `<xml><Name>text</Name>...</xml>`, as WeChat writes it.
///
/// Reads the little of XML 1.0 that such documents need: elements without attributes, texts, CDATA, XML's own
/// five entities and numbered characters. A document type, and with it every other entity, comments and
/// instructions are refused, as is text beside elements. Nothing is fetched and nothing declared.
enum XMLFields {
  static let bytesMax = 1_048_576
  static let depthMax = 8
  static let fieldsMax = 256
  static let nameBytesMax = 64

  /// The texts by name. What is nested deeper is named by its path, `ScanCodeInfo.ScanType`; of several of
  /// one name the second is `item[1]`.
  ///
  /// - Throws: `.wrongBody` for anything but such a document.
  static func read(_ body: [UInt8]) throws(NormaliseError) -> [String: String] {
    guard body.count <= bytesMax else { throw .wrongBody(expected: "XML of at most \(bytesMax) bytes") }
    var scanner = XMLScanner(body)
    guard let fields = try? scanner.document(), !fields.isEmpty else {
      throw .wrongBody(expected: "XML of named texts")
    }
    return fields
  }
}

/// One pass over the bytes; the stack of open elements is `path`.
private struct XMLScanner {
  struct Malformed: Error {}

  private static let entities: [String: UInt8] = [
    "amp": UInt8(ascii: "&"), "lt": UInt8(ascii: "<"), "gt": UInt8(ascii: ">"),
    "quot": UInt8(ascii: "\""), "apos": UInt8(ascii: "'"),
  ]
  private static let entityBytesMax = 10

  private var rest: ArraySlice<UInt8>
  private var path: [String] = []
  /// Of the innermost open element, since its last tag.
  private var text: [UInt8] = []
  /// Whether the innermost open element has no elements.
  private var isLeaf = false
  private var fields: [String: String] = [:]

  init(_ bytes: [UInt8]) {
    rest = bytes[...]
  }

  mutating func document() throws(Malformed) -> [String: String] {
    _ = take("\u{feff}")
    if take("<?xml ") { _ = try until("?>") }
    skipSpace()
    guard take("<") else { throw Malformed() }
    try openElement()
    while !path.isEmpty { try step() }
    skipSpace()
    guard rest.isEmpty else { throw Malformed() }
    return fields
  }

  private mutating func step() throws(Malformed) {
    if take("<![CDATA[") {
      text += try until("]]>")
    } else if take("</") {
      guard try name() == path.last else { throw Malformed() }
      skipSpace()
      guard take(">") else { throw Malformed() }
      try closeElement()
    } else if take("<") {
      try openElement()
    } else if take("&") {
      try entity()
    } else {
      let run = rest.prefix { $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: "&") }
      guard !run.isEmpty else { throw Malformed() }
      text += run
      rest = rest.dropFirst(run.count)
    }
  }

  // MARK: Elements

  /// Behind its `<`.
  private mutating func openElement() throws(Malformed) {
    guard path.count < XMLFields.depthMax, text.allSatisfy({ Self.isSpace($0) }) else { throw Malformed() }
    path.append(try name())
    text = []
    isLeaf = true
    skipSpace()
    if take("/>") { return try closeElement() }
    guard take(">") else { throw Malformed() }
  }

  private mutating func closeElement() throws(Malformed) {
    if isLeaf, path.count > 1 {
      guard let text = String(validating: text, as: UTF8.self) else { throw Malformed() }
      try store(text)
    } else if !text.allSatisfy({ Self.isSpace($0) }) {
      throw Malformed()
    }
    path.removeLast()
    text = []
    isLeaf = false
  }

  private mutating func store(_ text: String) throws(Malformed) {
    guard fields.count < XMLFields.fieldsMax else { throw Malformed() }
    let name = path.dropFirst().joined(separator: ".")
    var free = name
    var number = 0
    while fields[free] != nil {
      number += 1
      free = "\(name)[\(number)]"
    }
    fields[free] = MessageText.sanitised(text, bytesMax: .max)
  }

  private mutating func name() throws(Malformed) -> String {
    let run = rest.prefix(XMLFields.nameBytesMax + 1).prefix { Self.isNamed($0) }
    guard let first = run.first, !Self.isInner(first), run.count <= XMLFields.nameBytesMax else {
      throw Malformed()
    }
    rest = rest.dropFirst(run.count)
    return String(decoding: run, as: UTF8.self)
  }

  // MARK: Texts

  /// Behind its `&`.
  private mutating func entity() throws(Malformed) {
    guard let end = rest.prefix(Self.entityBytesMax).firstIndex(of: UInt8(ascii: ";")) else {
      throw Malformed()
    }
    let name = String(decoding: rest[..<end], as: UTF8.self)
    rest = rest[(end + 1)...]
    if let byte = Self.entities[name] {
      text.append(byte)
      return
    }
    let digits = name.hasPrefix("#x") ? name.dropFirst(2) : name.dropFirst()
    guard name.hasPrefix("#"), digits.first?.isHexDigit == true,
      let value = UInt32(digits, radix: name.hasPrefix("#x") ? 16 : 10), value > 0,
      let scalar = Unicode.Scalar(value)
    else { throw Malformed() }
    text += Array(String(Character(scalar)).utf8)
  }

  // MARK: Bytes

  private mutating func take(_ wanted: String) -> Bool {
    guard rest.starts(with: wanted.utf8) else { return false }
    rest = rest.dropFirst(wanted.utf8.count)
    return true
  }

  /// What stands before the mark, which is skipped.
  private mutating func until(_ mark: String) throws(Malformed) -> ArraySlice<UInt8> {
    let wanted = Array(mark.utf8)
    var place = rest.startIndex
    while place < rest.endIndex {
      if rest[place] == wanted[0], rest[place...].starts(with: wanted) {
        let found = rest[..<place]
        rest = rest[(place + wanted.count)...]
        return found
      }
      place += 1
    }
    throw Malformed()
  }

  private mutating func skipSpace() {
    rest = rest.drop { Self.isSpace($0) }
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
  }

  private static func isNamed(_ byte: UInt8) -> Bool {
    (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")) || byte == UInt8(ascii: "_")
      || isInner(byte)
  }

  /// What a name has, but not at its beginning.
  private static func isInner(_ byte: UInt8) -> Bool {
    (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: ".")
  }
}
