/// The header fields of a message or a part, in their order, unfolded and trimmed (RFC 5322 section 2.2).
/// Encoded words are still encoded.
package struct MailHeaders: Sendable, Equatable {
  package struct Field: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Fields beyond these are passed over.
  package static let fieldsMax = 1_000
  /// Bytes of the whole header that are read; what is beyond is passed over.
  package static let bytesMax = 256 << 10

  package private(set) var fields: [Field]

  package init(_ fields: [Field] = []) {
    self.fields = Array(fields.prefix(Self.fieldsMax))
  }

  /// The value of the first field of this name; the case of names does not count.
  package subscript(name: String) -> String? {
    fields.first { ASCII.equalsIgnoringCase($0.name, name) }?.value
  }

  package func all(_ name: String) -> [String] {
    fields.filter { ASCII.equalsIgnoringCase($0.name, name) }.map(\.value)
  }

  /// Reads a header up to the empty line, and says where the body begins. Lines that are no field are
  /// passed over; line ends may be CRLF or LF.
  package init(parsing bytes: ArraySlice<UInt8>, body: inout ArraySlice<UInt8>) {
    var lines = MailLines(bytes)
    var fields: [Field] = []
    var name: ArraySlice<UInt8>?
    var value: [UInt8] = []
    let limit = bytes.startIndex + Self.bytesMax
    func finish() {
      if let name, fields.count < Self.fieldsMax {
        fields.append(
          Field(
            String(decoding: name, as: UTF8.self),
            Charset.unicodeOrWestern(ASCII.trimmed(value[...]))))
      }
      name = nil
      value = []
    }
    while let line = lines.next() {
      if line.isEmpty { break }
      guard line.startIndex < limit else { continue }
      if ASCII.isBlank(line[line.startIndex]) {
        if name != nil { value += line }
        continue
      }
      finish()
      guard let colon = line.firstIndex(of: ASCII.colon) else { continue }
      let given = ASCII.trimmed(line[..<colon])
      guard !given.isEmpty, given.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { continue }
      name = given
      value = Array(line[(colon + 1)...])
    }
    finish()
    body = lines.rest
    self.fields = fields
  }

  package init(parsing bytes: ArraySlice<UInt8>) {
    var body = bytes
    self.init(parsing: bytes, body: &body)
  }
}

/// The lines of a text without their ends, which are CRLF or LF.
struct MailLines {
  /// What has not been given out.
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) {
    rest = bytes
  }

  mutating func next() -> ArraySlice<UInt8>? {
    guard !rest.isEmpty else { return nil }
    guard let end = rest.firstIndex(of: ASCII.lineFeed) else {
      defer { rest = rest[rest.endIndex...] }
      return rest
    }
    let line = rest[..<end]
    rest = rest[(end + 1)...]
    return line.last == ASCII.carriageReturn ? line.dropLast() : line
  }
}
