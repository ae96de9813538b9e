import HTTPWire

/// HTTP/1.1 messages.
enum HTTPFuzz {
  /// Small enough for short inputs to reach them.
  private static let limits: HTTPLimits = {
    var limits = HTTPLimits()
    limits.firstLineBytesMax = 200
    limits.headerBytesMax = 400
    limits.headerFieldsMax = 12
    limits.bodyBytesMax = 300
    limits.chunkExtensionBytesMax = 16
    limits.trailerBytesMax = 100
    limits.trailerFieldsMax = 3
    return limits
  }()

  static func request(_ input: [UInt8], _ cutting: Cutting) throws(FuzzFinding) {
    let whole = try cutting.same(input) { RequestTranscript($0, limits: limits) }
    for message in whole.messages {
      try expect(message.body.count <= limits.bodyBytesMax, "a body of \(message.body.count) bytes")
      try expect(message.head.headers.count <= limits.headerFieldsMax, "too many fields")
      try expect(message.trailers?.count ?? 0 <= limits.trailerFieldsMax, "too many trailers")
      try expect(!message.head.path.utf8.contains(0), "NUL in a path")
      try expectQuery(message.head)
      // HTTP/1.0 has no Host, and other rules for the rest.
      if message.trailers != nil, message.head.version == .http11 { try expectSameWhenWritten(message) }
    }
  }

  private static func expectQuery(_ head: HTTPRequestHead) throws(FuzzFinding) {
    guard let query = try? head.query() else { return }
    try expect((try? URLQuery(query.encoded)) == query, "a query that reads otherwise: \(query)")
  }

  private static func expectSameWhenWritten(_ message: RequestTranscript.Message) throws(FuzzFinding) {
    let head = message.head
    guard
      let written = try? RequestWriter.encode(
        head.method, head.target, host: head.headers["host"] ?? "", headers: head.headers, body: message.body)
    else { throw FuzzFinding("cannot be written: \(head)") }
    let read = RequestTranscript([written])
    guard let again = read.messages.first, read.messages.count == 1, again.trailers != nil else {
      throw FuzzFinding("reads otherwise: \(read) instead of \(head)")
    }
    try expect(again.head.method == head.method && again.head.target == head.target, "another request line")
    try expect(again.head.path == head.path && again.head.authority == head.authority, "another target")
    try expect(again.head.keepAlive == head.keepAlive, "another end of the connection")
    try expect(again.head.expectsContinue == head.expectsContinue, "another expectation")
    try expect(again.body == message.body, "another body: \(again.body) instead of \(message.body)")
    try expect(own(again.head.headers) == own(head.headers), "other fields")
  }

  /// Without the fields that the writers own.
  private static func own(_ headers: HTTPHeaders) -> HTTPHeaders {
    var headers = headers
    for name in ["host", "content-length", "transfer-encoding", "connection", "date"] { headers.remove(name) }
    return headers
  }

  /// The input is a chunked body.
  static func chunked(_ input: [UInt8], _ cutting: Cutting) throws(FuzzFinding) {
    let head = Array("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
    let whole = try cutting.same(input) { RequestTranscript([head] + $0, limits: limits) }
    guard let message = whole.messages.first else { throw FuzzFinding("no head: \(whole)") }
    try expect(message.body.count <= min(input.count, limits.bodyBytesMax), "longer than what came")
    guard message.trailers != nil else { return }
    var places = Places(of: input)
    let pieces = places.pieces(message.body, atMost: 5)
    let written = pieces.flatMap { ResponseWriter.chunk($0) } + ResponseWriter.lastChunk
    let again = RequestTranscript([head, written])
    try expect(
      again.messages.first?.body == message.body && again.messages.first?.trailers == [:]
        && again.leftBytes == 0, "chunks of \(pieces.map(\.count)) read otherwise: \(again)")
  }

  /// The first byte says what was asked and whether the server closes; the rest is what it sent.
  static func response(_ input: [UInt8], _ cutting: Cutting) throws(FuzzFinding) {
    guard let flags = input.first else { return }
    let method: HTTPMethod = flags & 1 == 0 ? .get : .head
    let closes = flags & 2 != 0
    let whole = try cutting.same(Array(input.dropFirst())) {
      ResponseTranscript($0, method, closes: closes, limits: limits)
    }
    for message in whole.messages {
      try expect(message.body.count <= limits.bodyBytesMax, "a body of \(message.body.count) bytes")
      try expect(message.body.isEmpty || method != .head, "a body to HEAD")
      guard message.kind != nil, message.trailers != nil, message.head.status.code >= 200 else { continue }
      try expectSameWhenWritten(message, method)
    }
  }

  private static func expectSameWhenWritten(
    _ message: ResponseTranscript.Message, _ method: HTTPMethod
  ) throws(FuzzFinding) {
    let head = message.head
    let response = HTTPResponse(status: head.status, headers: head.headers, body: .bytes(message.body))
    let exchange = ResponseWriter.Exchange(
      method: method, keepAlive: head.keepAlive, date: "Sun, 06 Nov 1994 08:49:37 GMT")
    guard let written = try? ResponseWriter.encode(response, for: exchange) else {
      throw FuzzFinding("cannot be written: \(head)")
    }
    let read = ResponseTranscript([written.head + written.body], method, closes: true)
    guard let again = read.messages.first, read.messages.count == 1, again.trailers != nil else {
      throw FuzzFinding("reads otherwise: \(read) instead of \(head)")
    }
    try expect(again.head.status.reason == head.status.reason, "another reason")
    try expect(again.head.status == head.status && again.body == message.body, "another answer")
    try expect(again.head.keepAlive == head.keepAlive, "another end of the connection")
    try expect(own(again.head.headers) == own(head.headers), "other fields")
  }
}
