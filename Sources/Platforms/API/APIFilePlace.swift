package import JSON

/// Where in a JSON document the content of one of the job's files stands, as base64.
package struct APIFilePlace: Sendable, Equatable {
  /// Names of members, and numbers of elements.
  package let path: [String]
  /// The file's index.
  package let file: Int

  package init(_ path: [String], file: Int) {
    self.path = path
    self.file = file
  }
}

/// A document in pieces, so that no file is in memory as a string beside its bytes.
package enum APIPiece: Sendable, Equatable {
  case bytes([UInt8])
  /// The base64 of the file with this index.
  case base64(Int)

  /// The text of a document, cut where files stand. A place that the document does not have, or that is no
  /// string, is left out.
  package static func pieces(of document: JSONValue, files places: [APIFilePlace]) -> [APIPiece] {
    var writer = Writer(files: Dictionary(places.map { ($0.path, $0.file) }, uniquingKeysWith: { $1 }))
    writer.write(document, at: [])
    writer.cut()
    return writer.pieces
  }

  private struct Writer {
    let files: [[String]: Int]
    var pieces: [APIPiece] = []
    private var bytes: [UInt8] = []

    init(files: [[String]: Int]) { self.files = files }

    mutating func write(_ value: JSONValue, at path: [String]) {
      switch value {
      case .array(let elements):
        bytes.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
          if index > 0 { bytes.append(UInt8(ascii: ",")) }
          write(element, at: path + ["\(index)"])
        }
        bytes.append(UInt8(ascii: "]"))
      case .object(let members):
        bytes.append(UInt8(ascii: "{"))
        for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
          if index > 0 { bytes.append(UInt8(ascii: ",")) }
          JSONText.append(member.key, to: &bytes)
          bytes.append(UInt8(ascii: ":"))
          write(member.value, at: path + [member.key])
        }
        bytes.append(UInt8(ascii: "}"))
      case .string(let text):
        JSONText.append(text, to: &bytes)
        if let file = files[path] { embed(file) }
      default: JSONText.append(value, to: &bytes)
      }
    }

    /// The file goes before the quotation mark that ends its string.
    private mutating func embed(_ file: Int) {
      bytes.removeLast()
      cut()
      pieces.append(.base64(file))
      bytes.append(UInt8(ascii: "\""))
    }

    mutating func cut() {
      if !bytes.isEmpty { pieces.append(.bytes(bytes)) }
      bytes = []
    }
  }
}
