import Bytes

/// Why a message of ours cannot be written: our fault, before anything was sent.
package enum HTTPWriteError: Error, Equatable, Sendable {
  case fieldNameMalformed(String)
  /// The value has CR, LF, NUL or another control byte, which would end the field early.
  case fieldValueMalformed(name: String)
  case targetMalformed
}

/// A response in bytes. A small body stands behind the head already, a large one is left apart so
/// that it is not copied; send the head first.
package struct EncodedResponse: Sendable, Equatable {
  package var head: [UInt8]
  package var body: [UInt8]
}

/// Writes responses (RFC 9112 sections 4 and 6).
package enum ResponseWriter {
  /// What a response answers.
  package struct Exchange: Sendable, Equatable {
    package var method: HTTPMethod
    package var version: HTTPVersion
    /// Whether the connection stays open after this response.
    package var keepAlive: Bool
    /// The Date field, from `HTTPDate.format`.
    package var date: String

    package init(method: HTTPMethod, version: HTTPVersion = .http11, keepAlive: Bool = true, date: String) {
      self.method = method
      self.version = version
      self.keepAlive = keepAlive
      self.date = date
    }
  }

  /// How a streamed body is written.
  package enum StreamFraming: Sendable, Equatable {
    /// Head only: HEAD, or a status that forbids a body.
    case none
    case chunked
    /// As it is, so many bytes: the length was announced.
    case length(Int)
    /// As it is; the connection must close behind it (HTTP/1.0).
    case untilClose
  }

  /// Bodies up to this size are copied behind their head.
  private static let smallBodyBytesMax = 16 * 1024

  /// A whole response with Content-Length. To HEAD, and with 204 and 304, the body is left out.
  package static func encode(
    _ response: HTTPResponse, for exchange: Exchange
  ) throws(HTTPWriteError) -> EncodedResponse {
    let body = response.body.bytes
    var head: [UInt8] = []
    let isSmall = body.count <= smallBodyBytesMax
    head.reserveCapacity(256 + (isSmall ? body.count : 0))
    try writeStart(response, exchange, into: &head)
    if !response.status.forbidsBody {
      // A handler of HEAD may know the length without making the body.
      let announced = body.isEmpty && exchange.method == .head ? response.headers["content-length"] : nil
      append("Content-Length", announced ?? String(body.count), to: &head)
    }
    head.append(contentsOf: "\r\n".utf8)
    if exchange.method == .head || response.status.forbidsBody {
      return EncodedResponse(head: head, body: [])
    }
    if isSmall {
      head.append(contentsOf: body)
      return EncodedResponse(head: head, body: [])
    }
    return EncodedResponse(head: head, body: body)
  }

  /// The head of a response whose body follows in parts. The body of `response` is not looked at; its length
  /// is announced when its Content-Length says it.
  package static func encodeStreamHead(
    _ response: HTTPResponse, for exchange: Exchange
  ) throws(HTTPWriteError) -> (head: [UInt8], framing: StreamFraming) {
    let length = response.headers["content-length"].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
    let framing: StreamFraming =
      response.status.forbidsBody
      ? StreamFraming.none
      : length.map { .length($0) } ?? (exchange.version == .http11 ? .chunked : .untilClose)
    var exchange = exchange
    if framing == .untilClose { exchange.keepAlive = false }
    var head: [UInt8] = []
    try writeStart(response, exchange, into: &head)
    if framing == .chunked { append("Transfer-Encoding", "chunked", to: &head) }
    if case .length(let bytes) = framing { append("Content-Length", String(bytes), to: &head) }
    head.append(contentsOf: "\r\n".utf8)
    return (head, exchange.method == .head ? StreamFraming.none : framing)
  }

  /// One chunk. Empty bytes give nothing, because an empty chunk would end the body.
  package static func chunk(_ bytes: [UInt8]) -> [UInt8] {
    guard !bytes.isEmpty else { return [] }
    var chunk = Array(String(bytes.count, radix: 16).utf8)
    chunk.reserveCapacity(chunk.count + bytes.count + 4)
    chunk.append(contentsOf: "\r\n".utf8)
    chunk.append(contentsOf: bytes)
    chunk.append(contentsOf: "\r\n".utf8)
    return chunk
  }

  /// The end of a chunked body.
  package static let lastChunk = Array("0\r\n\r\n".utf8)

  /// `100 Continue`, to be sent once before the body is read.
  package static let continueHead = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

  /// Status line, Date, the response's own fields, Connection. Close and keep-alive are the exchange's.
  private static func writeStart(
    _ response: HTTPResponse, _ exchange: Exchange, into head: inout [UInt8]
  ) throws(HTTPWriteError) {
    head.append(contentsOf: "HTTP/1.1 ".utf8)
    head.append(contentsOf: String(response.status.code).utf8)
    head.append(0x20)
    guard response.status.reason.utf8.allSatisfy(isFieldValueByte) else {
      throw .fieldValueMalformed(name: "status")
    }
    head.append(contentsOf: response.status.reason.utf8)
    head.append(contentsOf: "\r\n".utf8)
    append("Date", exchange.date, to: &head)
    let isUpgrade = response.status == .switchingProtocols
    for field in response.headers.fields {
      try FieldWriter.check(field)
      if FieldWriter.isFraming(field.name) || equalsIgnoringCase(field.name, "date") { continue }
      if equalsIgnoringCase(field.name, "connection") && !isUpgrade { continue }
      append(field.name, field.value, to: &head)
    }
    if isUpgrade { return }
    // What the response names itself (`Upgrade`, for a 426), and how the connection goes on.
    var options = response.headers.list("connection").filter {
      !equalsIgnoringCase($0, "close") && !equalsIgnoringCase($0, "keep-alive")
    }
    if !exchange.keepAlive {
      options.append("close")
    } else if exchange.version == .http10 {
      options.append("keep-alive")
    }
    if !options.isEmpty { append("Connection", options.joined(separator: ", "), to: &head) }
  }

  private static func append(_ name: String, _ value: String, to head: inout [UInt8]) {
    FieldWriter.append(name, value, to: &head)
  }
}

/// Writes field lines and keeps malformed ones out.
enum FieldWriter {
  static func append(_ name: String, _ value: String, to head: inout [UInt8]) {
    head.append(contentsOf: name.utf8)
    head.append(contentsOf: ": ".utf8)
    head.append(contentsOf: value.utf8)
    head.append(contentsOf: "\r\n".utf8)
  }

  static func check(_ field: HTTPHeaders.Field) throws(HTTPWriteError) {
    guard !field.name.isEmpty, field.name.utf8.allSatisfy(isTokenByte) else {
      throw .fieldNameMalformed(field.name)
    }
    guard field.value.utf8.allSatisfy(isFieldValueByte) else { throw .fieldValueMalformed(name: field.name) }
  }

  /// Fields the writers own.
  static func isFraming(_ name: String) -> Bool {
    equalsIgnoringCase(name, "content-length") || equalsIgnoringCase(name, "transfer-encoding")
  }
}

/// Writes requests (RFC 9112 section 3), for the hub's own clients and tests.
package enum RequestWriter {
  /// A whole request with Host and, where it has a body or its method asks for one, Content-Length.
  ///
  /// - Parameters:
  ///   - target: already encoded, `/path?query`.
  ///   - host: the Host field; a Host in `headers` is left out.
  package static func encode(
    _ method: HTTPMethod, _ target: String, host: String, headers: HTTPHeaders = [:], body: [UInt8] = []
  ) throws(HTTPWriteError) -> [UInt8] {
    var bytes = try encodeHead(method, target, host: host, headers: headers, bodyBytes: body.count)
    bytes.append(contentsOf: body)
    return bytes
  }

  /// The head of a request whose body of `bodyBytes` is sent apart, so that a large one is not copied.
  package static func encodeHead(
    _ method: HTTPMethod, _ target: String, host: String, headers: HTTPHeaders = [:], bodyBytes: Int
  ) throws(HTTPWriteError) -> [UInt8] {
    guard !target.isEmpty, target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw .targetMalformed }
    guard !method.name.isEmpty, method.name.utf8.allSatisfy(isTokenByte) else { throw .targetMalformed }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(512)
    bytes.append(contentsOf: method.name.utf8)
    bytes.append(0x20)
    bytes.append(contentsOf: target.utf8)
    bytes.append(contentsOf: " HTTP/1.1\r\n".utf8)
    try FieldWriter.check(HTTPHeaders.Field(name: "Host", value: host))
    FieldWriter.append("Host", host, to: &bytes)
    for field in headers.fields {
      try FieldWriter.check(field)
      if FieldWriter.isFraming(field.name) || equalsIgnoringCase(field.name, "host") { continue }
      FieldWriter.append(field.name, field.value, to: &bytes)
    }
    if bodyBytes > 0 || [.post, .put, .patch].contains(method) {
      FieldWriter.append("Content-Length", String(bodyBytes), to: &bytes)
    }
    bytes.append(contentsOf: "\r\n".utf8)
    return bytes
  }
}
