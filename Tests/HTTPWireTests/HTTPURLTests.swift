import HTTPWire
import Testing

@Suite("URLs") struct HTTPURLTests {
  @Test("reads scheme, host, port and target, and leaves the encoding alone")
  func parts() throws {
    let url = try HTTPURL("HTTPS://API.Example.org:8443/a%2fb/c?d=%20e+f#part")
    #expect(url.scheme == .https)
    #expect(url.host == "api.example.org")
    #expect(url.port == 8443)
    #expect(url.target == "/a%2fb/c?d=%20e+f")
    #expect(url.authority == "api.example.org:8443")
    #expect(url.absoluteString == "https://api.example.org:8443/a%2fb/c?d=%20e+f")
  }

  @Test(
    "a scheme has its port, an empty path is a slash, an address keeps its brackets",
    arguments: [
      ("http://h", "http://h/", 80), ("https://h?q", "https://h/?q", 443), ("http://h:80/", "http://h/", 80),
      ("https://[2001:DB8::1]:444/x", "https://[2001:db8::1]:444/x", 444),
      ("http://[::1]", "http://[::1]/", 80),
      ("http://127.0.0.1:3000", "http://127.0.0.1:3000/", 3000),
      ("http://[::ffff:10.0.0.1]/", "http://[::ffff:10.0.0.1]/", 80),
      ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/", 80),
      ("https://my_bucket.s3.example/", "https://my_bucket.s3.example/", 443),
    ])
  func forms(text: String, whole: String, port: UInt16) throws {
    let url = try HTTPURL(text)
    #expect(url.absoluteString == whole)
    #expect(url.port == port)
  }

  @Test(
    "what is no URL of a server is refused",
    arguments: [
      ("ftp://h/", HTTPURLError.schemeUnsupported), ("h/p", .schemeUnsupported), ("", .schemeUnsupported),
      ("http:/h", .schemeUnsupported), ("javascript:alert(1)", .schemeUnsupported),
      ("http://user:secret@h/", .userInformation), ("http://h@evil.example/", .userInformation),
      ("http://", .hostMalformed), ("http:///p", .hostMalformed), ("http://a..b/", .hostMalformed),
      ("http://a b/", .hostMalformed), ("http://-a/", .hostMalformed), ("http://h./", .hostMalformed),
      ("http://127.1/", .hostMalformed), ("http://2130706433/", .hostMalformed),
      ("http://0x7f.0.0.1/", .hostMalformed), ("http://0x7f000001/", .hostMalformed),
      ("http://0177.0.0.1/", .hostMalformed), ("http://1.2.3.256/", .hostMalformed),
      ("http://a%2eb/", .hostMalformed), ("http://[::1/", .hostMalformed), ("http://[:::]/", .hostMalformed),
      ("http://[fe80::1%25eth0]/", .hostMalformed), ("http://[1:2:3:4:5:6:7]/", .hostMalformed),
      ("http://[1::2:3:4:5:6:7:8]/", .hostMalformed), ("http://[::1]x/", .portMalformed),
      ("http://bücher.example/", .hostInternational), ("http://h:0/", .portMalformed),
      ("http://h:65536/", .portMalformed), ("http://h:/", .portMalformed), ("http://h:+1/", .portMalformed),
      ("http://h/a b", .targetMalformed), ("http://h/\r\nX: y", .targetMalformed),
      ("http://h/ü", .targetMalformed),
      ("http://h/a\\b", .targetMalformed), ("http://h\\@evil/", .userInformation),
    ])
  func refused(text: String, error: HTTPURLError) {
    #expect(throws: error) { try HTTPURL(text) }
  }

  @Test(
    "a reference is resolved as RFC 3986 section 5.4 has it",
    arguments: [
      ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"),
      ("//g", "http://g/"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"),
      ("", "http://a/b/c/d;p?q"), ("#s", "http://a/b/c/d;p?q"), ("g#s", "http://a/b/c/g"),
      (".", "http://a/b/c/"), ("..", "http://a/b/"), ("../g", "http://a/b/g"), ("../..", "http://a/"),
      ("../../../g", "http://a/g"), ("/./g", "http://a/g"), ("g?y/../x", "http://a/b/c/g?y/../x"),
      ("https://other.example/x", "https://other.example/x"),
    ])
  func references(reference: String, whole: String) throws {
    #expect(try HTTPURL("http://a/b/c/d;p?q").resolve(reference).absoluteString == whole)
  }

  @Test(
    "a reference to something else than http is refused",
    arguments: ["file:///etc/passwd", "data:x", "ftp://a/"])
  func foreignReferences(reference: String) throws {
    let base = try HTTPURL("http://a/b")
    #expect(throws: HTTPURLError.schemeUnsupported) { try base.resolve(reference) }
  }

  @Test("the description shows no path and no query")
  func description() throws {
    #expect("\(try HTTPURL("https://h/bot123:secret/send?token=secret"))" == "https://h")
  }
}
