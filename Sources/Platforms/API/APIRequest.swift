import Bytes
import HTTPWire
package import JSON

/// A call of a platform's API, as a value: the hub carries it out.
package struct APIRequest: Sendable, Equatable {
  /// Longer waits within a job are taken as this.
  private static let delaySecondsMax: Double = 15

  package enum Body: Sendable, Equatable {
    case none
    case json(JSONValue)
    /// JSON in which files stand as base64, at places whose strings are what stands before it.
    case jsonWithFiles(JSONValue, [APIFilePlace])
    case form([APIField])
    case multipart([APIPart])
    case bytes([UInt8], type: String)
    /// The content of one of the job's files, by its index.
    case file(Int, type: String)
  }

  package var method: String
  /// Absolute. It may hold secrets and is never logged.
  package var url: String
  /// Beside those of the body.
  package var headers: [APIField]
  package var body: Body
  /// Seconds that the whole exchange may take.
  package var timeoutSeconds: Int
  /// A long poll: it keeps a connection of its own.
  package var isLongLived: Bool
  /// Doing it twice is doing it once, so an answer that never came is no reason to stop.
  package var isRepeatable: Bool
  /// Seconds to wait before it is made: what it asks for takes its time.
  package var delaySeconds: Double = 0

  package init(
    _ method: String, _ url: String, headers: [APIField] = [], body: Body = .none, timeoutSeconds: Int = 30,
    isLongLived: Bool = false, isRepeatable: Bool? = nil
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    self.timeoutSeconds = timeoutSeconds
    self.isLongLived = isLongLived
    self.isRepeatable = isRepeatable ?? ["GET", "HEAD", "PUT", "DELETE"].contains(method)
  }

  /// The same with an `Authorization: Bearer` header.
  package func bearer(_ token: String) -> APIRequest { adding("Authorization", "Bearer \(token)") }

  /// The same with a user name and a password (RFC 7617).
  package func basic(_ user: String, _ password: String) -> APIRequest {
    adding("Authorization", "Basic \(Base64.encode(Array("\(user):\(password)".utf8)))")
  }

  package func adding(_ name: String, _ value: String) -> APIRequest {
    var request = self
    request.headers.append(APIField(name, value))
    return request
  }

  /// The same, to be made after some seconds.
  package func after(seconds: Double) -> APIRequest {
    var request = self
    request.delaySeconds = seconds.isFinite ? min(max(seconds, 0), Self.delaySecondsMax) : 0
    return request
  }

  /// An address with a query.
  package static func url(_ base: String, _ query: [(String, String?)]) -> String {
    let items = query.compactMap { name, value in value.map { URLQuery.Item(name: name, value: $0) } }
    guard !items.isEmpty else { return base }
    return base + (base.contains("?") ? "&" : "?") + URLQuery(items).encoded
  }

  /// One element of a path: everything but unreserved characters is encoded (RFC 3986 2.3).
  package static func element(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        encoded.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        encoded += "%" + Hex.encode([byte]).uppercased()
      }
    }
    return encoded
  }
}

/// A name with a value: a header, or a field of a form.
package struct APIField: Sendable, Equatable {
  package let name: String
  package let value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// One part of a multipart body (RFC 7578).
package struct APIPart: Sendable, Equatable {
  package enum Content: Sendable, Equatable {
    case text(String)
    /// The content of one of the job's files, by its index.
    case file(Int)
  }

  package let name: String
  package let filename: String?
  package let type: String?
  package let content: Content

  package init(_ name: String, _ text: String, type: String? = nil) {
    self.name = name
    filename = nil
    self.type = type
    content = .text(text)
  }

  package init(_ name: String, file index: Int, filename: String, type: String) {
    self.name = name
    self.filename = filename
    self.type = type
    content = .file(index)
  }
}

/// What the platform answered to a call. Also kept with what was polled, so that it can be read again.
package struct APIAnswer: Sendable, Equatable {
  package let status: Int
  package let headers: [APIField]
  package let body: [UInt8]

  package init(status: Int, headers: [APIField] = [], body: [UInt8]) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  package var isSuccess: Bool { (200..<300).contains(status) }

  /// nil: it is not JSON.
  package var json: JSONValue? { try? JSONValue(parsing: body) }

  /// The value of a header; the case of its name does not count.
  package func header(_ name: String) -> String? {
    headers.first { equalsIgnoringCase($0.name, name) }?.value
  }
}
