import HTTPServer
import HTTPWire
import Testing

@Suite struct CORSPolicyTests {
  private let policy = CORSPolicy(origins: .list(["http://localhost:5173", "https://inbox.example"]))

  private func head(_ method: HTTPMethod, _ headers: HTTPHeaders) -> HTTPRequestHead {
    HTTPRequestHead(method: method, target: "/api", headers: headers)
  }

  @Test("names an allowed origin in full, and always varies by it")
  func ordinary() {
    let headers = policy.headers(for: head(.get, ["Origin": "https://inbox.example"]))
    #expect(headers["access-control-allow-origin"] == "https://inbox.example")
    #expect(headers["access-control-allow-credentials"] == "true")
    #expect(headers["access-control-expose-headers"]?.contains("Retry-After") == true)
    #expect(headers["vary"] == "Origin")
    #expect(policy.headers(for: head(.get, [:])) == ["Vary": "Origin"])
    let open = CORSPolicy(origins: .any)
    #expect(
      open.headers(for: head(.get, ["Origin": "http://x"]))["access-control-allow-origin"] == "http://x")
  }

  @Test(
    "gives foreign origins nothing",
    arguments: [
      "null", "https://inbox.example.evil", "http://inbox.example", "https://INBOX.example",
      "https://inbox.example/", "*", "",
    ])
  func foreign(origin: String) {
    #expect(policy.headers(for: head(.get, ["Origin": origin])) == ["Vary": "Origin"])
    let preflight = policy.preflight(
      for: head(.options, ["Origin": origin, "Access-Control-Request-Method": "PUT"]))
    #expect(preflight?.status == .forbidden)
    #expect(preflight?.headers["access-control-allow-origin"] == nil)
  }

  @Test("answers preflights and nothing else")
  func preflight() throws {
    let asked: HTTPHeaders = ["Origin": "http://localhost:5173", "Access-Control-Request-Method": "PATCH"]
    let answer = try #require(policy.preflight(for: head(.options, asked)))
    #expect(answer.status == .noContent)
    #expect(answer.headers["access-control-allow-methods"]?.contains("PATCH") == true)
    #expect(answer.headers["access-control-allow-headers"]?.contains("Authorization") == true)
    #expect(answer.headers["access-control-max-age"] == "600")
    #expect(policy.preflight(for: head(.get, asked)) == nil)
    #expect(policy.preflight(for: head(.options, ["Origin": "http://localhost:5173"])) == nil)
  }
}
