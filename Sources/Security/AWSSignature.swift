import Bytes

/// AWS Signature Version 4, as S3 and the stores that are compatible with it check it.
/// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
package struct AWSSignature: Sendable {
  /// A request as it is sent.
  package struct Request: Sendable {
    package var method: String
    /// Percent-encoded, begins with `/`. S3 takes it as it is; it is not encoded twice.
    package var path: String
    /// Not encoded; in any order.
    package var query: [(name: String, value: String)]
    /// What is signed: at least Host and, for S3, the `x-amz-` fields.
    package var headers: [(name: String, value: String)]
    /// SHA-256 of the body in hexadecimal, or a word that S3 takes instead.
    package var payloadHash: String

    package init(
      method: String, path: String, query: [(name: String, value: String)] = [],
      headers: [(name: String, value: String)], payloadHash: String
    ) {
      self.method = method
      self.path = path
      self.query = query
      self.headers = headers
      self.payloadHash = payloadHash
    }
  }

  private static let algorithm = "AWS4-HMAC-SHA256"

  private let accessKey: String
  private let secretKey: String
  private let region: String
  private let service: String

  package init(accessKey: String, secretKey: String, region: String, service: String) {
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.region = region
    self.service = service
  }

  /// The value of the Authorization header.
  /// - Parameter date: as in `20150830T123600Z`; the same as in the signed date header.
  package func authorization(_ request: Request, date: String) -> String {
    let (canonical, names) = Self.canonical(request)
    let scope = "\(date.prefix(8))/\(region)/\(service)/aws4_request"
    let text = [Self.algorithm, date, scope, Hex.encode(Digest.sha256(Array(canonical.utf8)))]
      .joined(separator: "\n")
    let signature = Hex.encode(HMAC.sha256(Array(text.utf8), key: key(String(date.prefix(8)))))
    return
      "\(Self.algorithm) Credential=\(accessKey)/\(scope), SignedHeaders=\(names), Signature=\(signature)"
  }

  private func key(_ day: String) -> [UInt8] {
    [day, region, service, "aws4_request"].reduce(Array("AWS4\(secretKey)".utf8)) { key, part in
      HMAC.sha256(Array(part.utf8), key: key)
    }
  }

  private static func canonical(_ request: Request) -> (text: String, headerNames: String) {
    let headers = request.headers.map { (name: $0.name.lowercased(), value: collapsed($0.value)) }
      .sorted { ($0.name, $0.value) < ($1.name, $1.value) }
    let query = request.query.map { (encoded($0.name), encoded($0.value)) }
      .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
      .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    let names = headers.map(\.name).joined(separator: ";")
    let lines = headers.map { "\($0.name):\($0.value)\n" }.joined()
    let text = [request.method, request.path, query, lines, names, request.payloadHash]
      .joined(separator: "\n")
    return (text, names)
  }

  /// Without blanks at the ends, and with one in place of several.
  private static func collapsed(_ value: String) -> String {
    value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
  }

  /// Everything but unreserved characters is encoded (RFC 3986 2.3).
  package static func encoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default: result += "%" + Hex.encode([byte]).uppercased()
      }
    }
    return result
  }
}
