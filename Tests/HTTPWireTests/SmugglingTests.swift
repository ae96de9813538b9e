import Fuzzing
import HTTPWire
import Testing

/// One form of a request that two readers could understand differently.
struct SmugglingForm: Sendable, CustomTestStringConvertible {
  let name: String
  let input: String
  let error: HTTPParseError
  var status = 400

  var testDescription: String { name }

  /// A POST whose fields behind Host, and everything after them, are given.
  static func fields(_ name: String, _ fields: String, _ error: HTTPParseError, status: Int = 400) -> Self {
    Self(name: name, input: "POST / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n\r\n", error: error, status: status)
  }

  static func line(_ name: String, _ line: String, _ error: HTTPParseError, status: Int = 400) -> Self {
    Self(name: name, input: "\(line)\r\nHost: h\r\n\r\n", error: error, status: status)
  }

  static func chunks(_ name: String, _ body: String, _ error: HTTPParseError) -> Self {
    Self(
      name: name, input: "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\(body)",
      error: error)
  }
}

@Suite struct SmugglingTests {
  static let lengths: [SmugglingForm] = [
    .fields("plus sign", "Content-Length: +5", .contentLengthMalformed),
    .fields("minus sign", "Content-Length: -5", .contentLengthMalformed),
    .fields("underscore", "Content-Length: 1_0", .contentLengthMalformed),
    .fields("hexadecimal", "Content-Length: 0x5", .contentLengthMalformed),
    .fields("space inside", "Content-Length: 1 0", .contentLengthMalformed),
    .fields("empty", "Content-Length: ", .contentLengthMalformed),
    .fields("too large", "Content-Length: 99999999999999999999", .contentLengthMalformed),
    .fields("2^64 + 5", "Content-Length: 18446744073709551621", .contentLengthMalformed),
    .fields("list of equals", "Content-Length: 5, 5", .contentLengthMalformed),
    .fields("list", "Content-Length: 5, 6", .contentLengthMalformed),
    .fields("twice the same", "Content-Length: 5\r\nContent-Length: 5", .contentLengthRepeated),
    .fields("twice, different", "Content-Length: 5\r\ncontent-length: 6", .contentLengthRepeated),
    .fields("other digits", "Content-Length: \u{0665}", .contentLengthMalformed),
    .fields("vertical tab before", "Content-Length:\u{0b}5", .fieldValueMalformed),
  ]

  static let codings: [SmugglingForm] = [
    .fields(
      "TE and CL", "Content-Length: 5\r\nTransfer-Encoding: chunked", .transferEncodingWithContentLength),
    .fields(
      "TE and CL, other order", "Transfer-Encoding: chunked\r\nContent-Length: 5",
      .transferEncodingWithContentLength),
    .fields(
      "unknown TE and CL", "Transfer-Encoding: x\r\nContent-Length: 5", .transferEncodingWithContentLength),
    .fields("chunked twice in a list", "Transfer-Encoding: chunked, chunked", .transferEncodingMalformed),
    .fields(
      "chunked twice in lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
      .transferEncodingMalformed),
    .fields(
      "chunked not last", "Transfer-Encoding: chunked, identity", .transferEncodingMalformed),
    .fields("identity", "Transfer-Encoding: identity", .transferEncodingMalformed),
    .fields("xchunked", "Transfer-Encoding: xchunked", .transferEncodingMalformed),
    .fields("chunked with a parameter", "Transfer-Encoding: chunked;a=b", .transferEncodingMalformed),
    .fields("quoted", "Transfer-Encoding: \"chunked\"", .transferEncodingMalformed),
    .fields("comma behind", "Transfer-Encoding: chunked,", .transferEncodingMalformed),
    .fields("comma before", "Transfer-Encoding: ,chunked", .transferEncodingMalformed),
    .fields("empty", "Transfer-Encoding:", .transferEncodingMalformed),
    .fields("vertical tab", "Transfer-Encoding: \u{0b}chunked", .fieldValueMalformed),
    .fields("gzip", "Transfer-Encoding: gzip", .transferEncodingUnsupported, status: 501),
    .fields("gzip, chunked", "Transfer-Encoding: gzip, chunked", .transferEncodingUnsupported, status: 501),
    SmugglingForm(
      name: "HTTP/1.0", input: "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
      error: .transferEncodingBeforeHTTP11),
  ]

  static let fieldLines: [SmugglingForm] = [
    .fields("space before colon", "Transfer-Encoding : chunked", .fieldNameMalformed),
    .fields("tab before colon", "Transfer-Encoding\t: chunked", .fieldNameMalformed),
    .fields("folded", "A: b\r\n c", .lineFolded),
    .fields("folded with a tab", "A: b\r\n\tContent-Length: 5", .lineFolded),
    SmugglingForm(
      name: "blank before first field", input: "GET / HTTP/1.1\r\n Host: h\r\n\r\n", error: .lineFolded),
    .fields("no colon", "Nothing", .fieldNameMalformed),
    .fields("empty name", ": x", .fieldNameMalformed),
    .fields("bracket in name", "A[: x", .fieldNameMalformed),
    .fields("byte above ASCII in name", "É: x", .fieldNameMalformed),
    .fields("NUL in name", "A\u{0}: x", .fieldNameMalformed),
    .fields("NUL in value", "A: x\u{0}y", .fieldValueMalformed),
    .fields("bare CR in value", "A: x\rB: y", .fieldValueMalformed),
    .fields("bare CR before the line end", "A: x\r", .fieldValueMalformed),
    .fields("DEL in value", "A: x\u{7f}", .fieldValueMalformed),
    .fields("bare LF", "A: x\nB: y", .bareLineFeed),
    SmugglingForm(name: "bare LF in line", input: "GET / HTTP/1.1\nHost: h\r\n\r\n", error: .bareLineFeed),
    SmugglingForm(
      name: "bare LF at the end", input: "GET / HTTP/1.1\r\nHost: h\r\n\n", error: .bareLineFeed),
    SmugglingForm(name: "LF before the line", input: "\nGET / HTTP/1.1\r\n", error: .bareLineFeed),
    SmugglingForm(
      name: "two empty lines before", input: "\r\n\r\nGET / HTTP/1.1\r\n", error: .requestLineMalformed),
    SmugglingForm(name: "no Host", input: "GET / HTTP/1.1\r\nA: b\r\n\r\n", error: .hostMissing),
    .fields("two Hosts", "Host: h", .hostRepeated),
    SmugglingForm(name: "empty Host", input: "GET / HTTP/1.1\r\nHost:\r\n\r\n", error: .hostMalformed),
    SmugglingForm(name: "Host list", input: "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", error: .hostMalformed),
    SmugglingForm(name: "Host path", input: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", error: .hostMalformed),
    SmugglingForm(name: "Host user", input: "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", error: .hostMalformed),
    SmugglingForm(name: "Host port", input: "GET / HTTP/1.1\r\nHost: h:8x\r\n\r\n", error: .hostMalformed),
    SmugglingForm(
      name: "Host port range", input: "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", error: .hostMalformed),
    .fields("unknown expectation", "Expect: tea", .expectationUnknown, status: 417),
  ]

  static let lines: [SmugglingForm] = [
    .line("two spaces", "GET  / HTTP/1.1", .requestLineMalformed),
    .line("space before", " GET / HTTP/1.1", .requestLineMalformed),
    .line("space behind", "GET / HTTP/1.1 ", .requestLineMalformed),
    .line("tab", "GET\t/ HTTP/1.1", .requestLineMalformed),
    .line("space in target", "GET /a b HTTP/1.1", .requestLineMalformed),
    .line("HTTP/0.9", "GET /", .requestLineMalformed),
    .line("lower case version", "GET / http/1.1", .requestLineMalformed),
    .line("long version", "GET / HTTP/1.10", .requestLineMalformed),
    .line("HTTP/2.0", "PRI * HTTP/2.0", .versionUnsupported, status: 505),
    .line("HTTP/1.2", "GET / HTTP/1.2", .versionUnsupported, status: 505),
    .line("lower case method", "get / HTTP/1.1", .methodUnknown, status: 501),
    .line("CONNECT", "CONNECT h:80 HTTP/1.1", .methodUnknown, status: 501),
    .line("method that is no token", "G(T / HTTP/1.1", .requestLineMalformed),
    .line("relative target", "GET a HTTP/1.1", .targetMalformed),
    .line("asterisk of GET", "GET * HTTP/1.1", .targetMalformed),
    .line("fragment", "GET /a#b HTTP/1.1", .targetMalformed),
    .line("bare CR in target", "GET /a\rb HTTP/1.1", .targetMalformed),
    .line("byte above ASCII in target", "GET /é HTTP/1.1", .targetMalformed),
    .line("short percent", "GET /%4 HTTP/1.1", .targetMalformed),
    .line("foreign percent", "GET /%zz HTTP/1.1", .targetMalformed),
    .line("encoded NUL", "GET /%00 HTTP/1.1", .targetMalformed),
    .line("encoded bytes that are not UTF-8", "GET /%ff HTTP/1.1", .targetMalformed),
    .line("absolute without host", "GET http:///a HTTP/1.1", .targetMalformed),
    .line("absolute with user", "GET http://u@h/a HTTP/1.1", .targetMalformed),
    .line("other scheme", "GET ftp://h/a HTTP/1.1", .targetMalformed),
  ]

  static let chunks: [SmugglingForm] = [
    .chunks("no size", "\r\n", .chunkSizeMalformed),
    .chunks("hex prefix", "0x5\r\nhello\r\n", .chunkSizeMalformed),
    .chunks("sign", "+5\r\nhello\r\n", .chunkSizeMalformed),
    .chunks("negative", "-1\r\n", .chunkSizeMalformed),
    .chunks("space behind size", "5 \r\nhello\r\n", .chunkSizeMalformed),
    .chunks("space before size", " 5\r\nhello\r\n", .chunkSizeMalformed),
    .chunks("seventeen digits", "00000000000000005\r\nhello\r\n", .chunkSizeMalformed),
    .chunks("overflow", "ffffffffffffffff\r\n", .chunkSizeMalformed),
    .chunks("bare LF behind size", "5\nhello\r\n", .chunkSizeMalformed),
    .chunks("bare CR behind size", "5\rhello\r\n", .chunkSizeMalformed),
    .chunks("LF in extension", "5;a\nhello\r\n", .chunkSizeMalformed),
    .chunks("CR in extension", "5;a\rb\r\nhello\r\n", .chunkSizeMalformed),
    .chunks("NUL in extension", "5;\u{0}\r\nhello\r\n", .chunkSizeMalformed),
    .chunks("data too long", "5\r\nhello!\r\n", .chunkEndMissing),
    .chunks("bare LF behind data", "5\r\nhello\n0\r\n\r\n", .chunkEndMissing),
    .chunks("bare CR behind data", "5\r\nhello\rX", .chunkEndMissing),
    .chunks("bare LF in trailers", "0\r\nA: b\n\r\n", .bareLineFeed),
    .chunks("folded trailer", "0\r\nA: b\r\n c\r\n\r\n", .lineFolded),
  ]

  @Test("refuses every smuggling form with its status, however it is cut", arguments: lengths + codings)
  func framing(form: SmugglingForm) {
    expectRefused(form)
  }

  @Test("refuses malformed field lines", arguments: fieldLines)
  func fields(form: SmugglingForm) {
    expectRefused(form)
  }

  @Test("refuses malformed request lines", arguments: lines)
  func requestLine(form: SmugglingForm) {
    expectRefused(form)
  }

  @Test("refuses malformed chunks", arguments: chunks)
  func chunk(form: SmugglingForm) {
    expectRefused(form)
  }

  private func expectRefused(_ form: SmugglingForm) {
    let (whole, disagreements) = ParserVerifier.verify(form.input)
    #expect(whole.error == form.error)
    #expect(whole.error?.status.code == form.status)
    #expect(disagreements.isEmpty)
  }
}
