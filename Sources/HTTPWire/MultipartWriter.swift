import Bytes

/// Writes a form body with files (RFC 7578), whole and in memory.
package struct MultipartWriter: Sendable {
  package let boundary: String
  private var bytes: [UInt8] = []

  /// - Parameter random: makes the boundary; at least 128 unforeseeable bits keep anybody from planting it in
  ///   a part.
  package init(random: (UInt64, UInt64)) {
    boundary = "hub-" + [random.0, random.1].map(MultipartWriter.digits).joined()
  }

  private static func digits(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  /// The Content-Type of the body.
  package var contentType: String { "multipart/form-data; boundary=\(boundary)" }

  package mutating func add(_ name: String, _ value: String) {
    start("name=\"\(MultipartWriter.quoted(name))\"", type: nil)
    end(with: value.utf8)
  }

  /// - Parameters:
  ///   - type: the media type; control bytes in it are dropped.
  ///   - fileName: sent as UTF-8, as browsers do.
  package mutating func add(_ name: String, file content: [UInt8], fileName: String, type: String) {
    start(
      "name=\"\(MultipartWriter.quoted(name))\"; filename=\"\(MultipartWriter.quoted(fileName))\"", type: type
    )
    end(with: content)
  }

  /// The body with its end.
  package func finish() -> [UInt8] {
    bytes + Array("--\(boundary)--\r\n".utf8)
  }

  private mutating func start(_ parameters: String, type: String?) {
    bytes.append(contentsOf: "--\(boundary)\r\nContent-Disposition: form-data; \(parameters)\r\n".utf8)
    if let type {
      bytes.append(contentsOf: "Content-Type: ".utf8)
      bytes.append(contentsOf: type.utf8.filter(isFieldValueByte))
      bytes.append(contentsOf: "\r\n".utf8)
    }
    bytes.append(contentsOf: "\r\n".utf8)
  }

  private mutating func end(with content: some Sequence<UInt8>) {
    bytes.append(contentsOf: content)
    bytes.append(contentsOf: "\r\n".utf8)
  }

  /// Line ends and quotes percent-encoded as the HTML standard has it (multipart/form-data encoding).
  private static func quoted(_ text: String) -> String {
    var quoted: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x0a: quoted.append(contentsOf: "%0A".utf8)
      case 0x0d: quoted.append(contentsOf: "%0D".utf8)
      case UInt8(ascii: "\""): quoted.append(contentsOf: "%22".utf8)
      case 0..<0x20, 0x7f: continue
      default: quoted.append(byte)
      }
    }
    return String(decoding: quoted, as: UTF8.self)
  }
}
