/// A `multipart/form-data` body (RFC 7578), read strictly: it comes from a program, not from a mailbox.
/// Binary safe, and in time proportional to its bytes.
package struct MultipartForm: Sendable {
  package enum Fault: Error, Equatable, CustomStringConvertible {
    /// The content type is another, or names no boundary that RFC 2046 allows.
    case notFormData
    /// It does not begin with the boundary, or its last boundary is missing.
    case boundaryMissing
    /// A part has no name, a header line that is none, or one twice.
    case malformedPart(Int)
    case headerTooLong(part: Int)
    case tooManyParts

    package var description: String {
      switch self {
      case .notFormData: "the content type is not multipart/form-data with a boundary"
      case .boundaryMissing: "the body does not begin and end with its boundary"
      case .malformedPart(let part): "part \(part) has a malformed header"
      case .headerTooLong(let part): "part \(part) has more than \(headerBytesMax) bytes of header"
      case .tooManyParts: "there are more than \(partsMax) parts"
      }
    }
  }

  package struct Part: Sendable {
    package let name: String
    /// Without folders; nil: a plain field.
    package let filename: String?
    /// nil: not said.
    package let contentType: ParameterizedValue?
    /// As they came.
    package let content: ArraySlice<UInt8>

    /// - Parameter charset: what the sender says elsewhere; what the part itself says wins.
    package func text(charset: String? = nil) -> String {
      Charset.decode(content, contentType?["charset"] ?? charset)
    }
  }

  package static let partsMax = 1_000
  /// Bytes of one part's header.
  package static let headerBytesMax = 8 << 10
  private static let boundaryBytesMax = 70

  /// In their order.
  package let parts: [Part]

  /// - Parameter contentType: the value of the request's `Content-Type`.
  package init(_ body: [UInt8], contentType: String?) throws(Fault) {
    guard let type = contentType.map({ ParameterizedValue($0) }), Self.isName(type),
      let boundary = type["boundary"], (1...Self.boundaryBytesMax).contains(boundary.utf8.count)
    else { throw .notFormData }
    var parts: [Part] = []
    for (index, bytes) in try Self.split(body, boundary).enumerated() {
      parts.append(try Self.part(bytes, number: index + 1))
    }
    self.parts = parts
  }

  package static func isNamed(by contentType: String?) -> Bool {
    contentType.map { isName(ParameterizedValue($0)) } ?? false
  }

  private static func isName(_ type: ParameterizedValue) -> Bool { type.value == "multipart/form-data" }

  /// The first part of a name.
  package subscript(name: String) -> Part? { parts.first { $0.name == name } }

  // MARK: Parts

  private static func split(_ body: [UInt8], _ boundary: String) throws(Fault) -> [ArraySlice<UInt8>] {
    let opening = [ASCII.hyphen, ASCII.hyphen] + Array(boundary.utf8)
    guard body.starts(with: opening) else { throw .boundaryMissing }
    var parts: [ArraySlice<UInt8>] = []
    var place = opening.count
    while true {
      guard place + 2 <= body.count else { throw .boundaryMissing }
      let isLast = body[place] == ASCII.hyphen && body[place + 1] == ASCII.hyphen
      if isLast { return try finished(parts, rest: body[(place + 2)...]) }
      guard body[place] == ASCII.carriageReturn, body[place + 1] == ASCII.lineFeed else {
        throw .boundaryMissing
      }
      // The line end before a boundary is the boundary's, also the one that ended the boundary before.
      let from = place + 2
      guard let next = delimiter(opening, in: body, from: place) else { throw .boundaryMissing }
      guard parts.count < partsMax else { throw .tooManyParts }
      parts.append(body[min(from, next)..<next])
      place = next + 2 + opening.count
    }
  }

  /// Nothing but white space may follow the last boundary.
  private static func finished(
    _ parts: [ArraySlice<UInt8>], rest: ArraySlice<UInt8>
  ) throws(Fault) -> [ArraySlice<UInt8>] {
    guard rest.allSatisfy(ASCII.isSpace) else { throw .boundaryMissing }
    return parts
  }

  /// Where a line end, the boundary and the end of its line begin.
  private static func delimiter(_ opening: [UInt8], in body: [UInt8], from start: Int) -> Int? {
    var index = start
    let last = body.count - opening.count - 4
    while index <= last {
      if body[index] == ASCII.carriageReturn, body[index + 1] == ASCII.lineFeed,
        body[(index + 2)...].starts(with: opening)
      {
        let end = index + 2 + opening.count
        let follows = (body[end], body[end + 1])
        if follows == (ASCII.hyphen, ASCII.hyphen) || follows == (ASCII.carriageReturn, ASCII.lineFeed) {
          return index
        }
      }
      index += 1
    }
    return nil
  }

  private static func part(_ bytes: ArraySlice<UInt8>, number: Int) throws(Fault) -> Part {
    var lines: [ArraySlice<UInt8>] = []
    var rest = bytes
    while true {
      guard let end = rest.prefix(headerBytesMax).firstIndex(of: ASCII.lineFeed), end > rest.startIndex,
        rest[end - 1] == ASCII.carriageReturn
      else {
        throw rest.count > headerBytesMax ? .headerTooLong(part: number) : .malformedPart(number)
      }
      let line = rest[..<(end - 1)]
      rest = rest[(end + 1)...]
      if line.isEmpty { break }
      guard rest.startIndex - bytes.startIndex <= headerBytesMax else { throw .headerTooLong(part: number) }
      lines.append(line)
    }
    guard let headers = Self.headers(lines), let disposition = headers["content-disposition"] else {
      throw .malformedPart(number)
    }
    let value = ParameterizedValue(disposition)
    guard value.value == "form-data", let name = value["name"], !name.isEmpty else {
      throw .malformedPart(number)
    }
    return Part(
      name: unescaped(name), filename: value["filename"].map { basename(unescaped($0)) },
      contentType: headers["content-type"].map { ParameterizedValue($0) }, content: rest)
  }

  /// By lower-case name; nil: a line is no field, or there twice.
  private static func headers(_ lines: [ArraySlice<UInt8>]) -> [String: String]? {
    var headers: [String: String] = [:]
    for line in lines {
      guard let colon = line.firstIndex(of: ASCII.colon), colon > line.startIndex,
        line[..<colon].allSatisfy({ $0 > 0x20 && $0 < 0x7f })
      else { return nil }
      let name = String(decoding: line[..<colon].map(ASCII.lowercased), as: UTF8.self)
      guard headers[name] == nil else { return nil }
      headers[name] = Charset.unicodeOrWestern(ASCII.trimmed(line[(colon + 1)...]))
    }
    return headers
  }

  /// Browsers write these three so (WHATWG HTML, multipart form data).
  private static func unescaped(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
    var output: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.first {
      let escape = String(decoding: rest.prefix(3), as: UTF8.self).uppercased()
      let plain: UInt8? =
        switch escape {
        case "%22": ASCII.quote
        case "%0D": ASCII.carriageReturn
        case "%0A": ASCII.lineFeed
        default: nil
        }
      output.append(plain ?? byte)
      rest = rest.dropFirst(plain == nil ? 1 : 3)
    }
    return String(decoding: output, as: UTF8.self)
  }

  private static func basename(_ name: String) -> String {
    String(name.split(omittingEmptySubsequences: false) { $0 == "/" || $0 == "\\" }.last ?? "")
  }
}
