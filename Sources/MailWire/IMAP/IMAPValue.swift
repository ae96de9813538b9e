/// The shape that all of a response's data has: words, strings and lists of them.
indirect enum IMAPValue: Sendable, Equatable {
  /// An atom, a number, a flag or `NIL`, with what stands in its brackets: `BODY[HEADER]<0>`.
  case atom([UInt8])
  /// Quoted or a literal.
  case string([UInt8])
  case list([IMAPValue])

  var text: String? {
    switch self {
    case .atom(let bytes), .string(let bytes): String(decoding: bytes, as: UTF8.self)
    case .list: nil
    }
  }

  /// The bytes of a string; nil for `NIL` and for lists.
  var bytes: [UInt8]? {
    switch self {
    case .string(let bytes): bytes
    case .atom(let bytes): isNIL ? nil : bytes
    case .list: nil
    }
  }

  var isNIL: Bool {
    guard case .atom(let bytes) = self else { return false }
    return bytes.count == 3 && String(decoding: bytes, as: UTF8.self).uppercased() == "NIL"
  }

  var number: UInt64? {
    guard case .atom(let bytes) = self else { return nil }
    return IMAPNumber.parse(bytes)
  }

  var list: [IMAPValue]? {
    guard case .list(let values) = self else { return nil }
    return values
  }
}

/// Reads the values of one frame in one pass.
struct IMAPValueReader {
  private let parts: [IMAPFrame.Part]
  private let depthMax: Int
  private var part = 0
  private var offset = 0

  init(_ frame: IMAPFrame, depthMax: Int) {
    parts = frame.parts
    self.depthMax = depthMax
  }

  /// All values up to the end, separated by spaces; spaces too many are passed over.
  mutating func readAll() throws(IMAPParseError) -> [IMAPValue] {
    // The lists that are open, outermost first; the first is the response itself.
    var open: [[IMAPValue]] = [[]]
    while let next = try step() {
      switch next {
      case .value(let value): open[open.count - 1].append(value)
      case .listStart:
        guard open.count <= depthMax else { throw .nestedTooDeep(limit: depthMax) }
        open.append([])
      case .listEnd:
        guard let values = open.popLast(), !open.isEmpty else { throw .malformed("parenthesis") }
        open[open.count - 1].append(.list(values))
      }
    }
    guard open.count == 1 else { throw .malformed("parenthesis") }
    return open[0]
  }

  private enum Step {
    case value(IMAPValue)
    case listStart
    case listEnd
  }

  private mutating func step() throws(IMAPParseError) -> Step? {
    while part < parts.count {
      switch parts[part] {
      case .literal(let bytes):
        advancePart()
        return .value(.string(bytes))
      case .line(let line):
        while offset < line.count, line[offset] == UInt8(ascii: " ") { offset += 1 }
        guard offset < line.count else {
          advancePart()
          continue
        }
        return try step(in: line)
      }
    }
    return nil
  }

  private mutating func advancePart() {
    part += 1
    offset = 0
  }

  private mutating func step(in line: [UInt8]) throws(IMAPParseError) -> Step {
    switch line[offset] {
    case UInt8(ascii: "("):
      offset += 1
      return .listStart
    case UInt8(ascii: ")"):
      offset += 1
      return .listEnd
    case UInt8(ascii: "\""):
      return .value(.string(try quoted(in: line)))
    default:
      return .value(.atom(try atom(in: line)))
    }
  }

  private mutating func quoted(in line: [UInt8]) throws(IMAPParseError) -> [UInt8] {
    var bytes: [UInt8] = []
    offset += 1
    while offset < line.count {
      let byte = line[offset]
      offset += 1
      switch byte {
      case UInt8(ascii: "\""): return bytes
      case UInt8(ascii: "\\"):
        guard offset < line.count else { throw .malformed("quoted string") }
        bytes.append(line[offset])
        offset += 1
      default: bytes.append(byte)
      }
    }
    throw .malformed("quoted string")
  }

  /// An atom ends at a space or a parenthesis, but not inside its brackets.
  private mutating func atom(in line: [UInt8]) throws(IMAPParseError) -> [UInt8] {
    let start = offset
    var isInBrackets = false
    while offset < line.count {
      let byte = line[offset]
      switch byte {
      case UInt8(ascii: "["): isInBrackets = true
      case UInt8(ascii: "]"): isInBrackets = false
      case UInt8(ascii: " "), UInt8(ascii: "("), UInt8(ascii: ")"):
        if !isInBrackets { return Array(line[start..<offset]) }
      case UInt8(ascii: "\""):
        if !isInBrackets { throw .malformed("quotation mark in a word") }
      default: break
      }
      offset += 1
    }
    guard !isInBrackets else { throw .malformed("bracket") }
    return Array(line[start..<offset])
  }
}
