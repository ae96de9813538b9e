import HTTPServer
import HTTPWire
import Testing

@Suite struct RouterTests {
  private func router() -> Router<String> {
    var builder = RouterBuilder<String>()
    func add(_ method: HTTPMethod, _ pattern: String, bodyBytesMax: Int = 10) {
      builder.on(method, pattern, bodyBytesMax: bodyBytesMax) { _, parameters, context in
        .response(.text(.ok, "\(context) \(pattern) \(parameters["id"] ?? "-") \(parameters["rest"] ?? "-")"))
      }
    }
    add(.get, "/")
    add(.get, "/api/conversations")
    add(.post, "/api/conversations", bodyBytesMax: 99)
    add(.get, "/api/conversations/{id}")
    add(.get, "/api/conversations/{id}/messages")
    add(.get, "/api/conversations/latest")
    add(.delete, "/api/conversations/{key}")
    add(.get, "/static/{rest...}")
    return builder.build()
  }

  private func text(_ method: HTTPMethod, _ target: String) async -> String {
    let request = HTTPRequest(head: HTTPRequestHead(method: method, target: target))
    guard case .response(let response) = await router().answer(request, "ctx") else { return "?" }
    if response.status == .ok { return String(decoding: response.body.bytes, as: UTF8.self) }
    return "\(response.status.code) \(response.headers["allow"] ?? "")"
  }

  @Test(
    "finds the route, texts before names",
    arguments: [
      ("/", "ctx / - -"), ("/api/conversations?x=/y", "ctx /api/conversations - -"),
      ("/api/conversations/7", "ctx /api/conversations/{id} 7 -"),
      ("/api/conversations/latest", "ctx /api/conversations/latest - -"),
      ("/api/conversations/latest/messages", "ctx /api/conversations/{id}/messages latest -"),
      ("/api/conversations/a%2Fb%20c", "ctx /api/conversations/{id} a/b c -"),
      ("/static/a/b/c", "ctx /static/{rest...} - a/b/c"),
      ("/api", "404 "), ("/api/conversations/", "404 "), ("//api/conversations", "404 "),
      ("/api/conversations/7/messages/", "404 "), ("/static", "404 "),
    ])
  func finds(target: String, expected: String) async {
    #expect(await text(.get, target) == expected)
  }

  @Test("answers HEAD by GET, 405 with Allow, and OPTIONS by itself")
  func methods() async {
    #expect(await text(.head, "/api/conversations/7") == "ctx /api/conversations/{id} 7 -")
    #expect(await text(.put, "/api/conversations") == "405 GET, HEAD, OPTIONS, POST")
    #expect(await text(.options, "/api/conversations") == "204 GET, HEAD, OPTIONS, POST")
    #expect(await text(.options, "*") == "204 ")
    #expect(await text(.options, "/nowhere") == "404 ")
    #expect(await text(.delete, "/api/conversations/7") == "ctx /api/conversations/{key} - -")
  }

  @Test("knows limit and label from the head alone")
  func fromHead() {
    let router = router()
    let head = HTTPRequestHead(method: .post, target: "/api/conversations")
    #expect(router.bodyBytesMax(head) == 99)
    #expect(router.bodyBytesMax(HTTPRequestHead(method: .post, target: "/none"), other: 5) == 5)
    #expect(router.label(HTTPRequestHead(target: "/api/conversations/7")) == "/api/conversations/{id}")
    #expect(router.label(HTTPRequestHead(target: "/none")) == nil)
    #expect(router.label(HTTPRequestHead(target: "/" + String(repeating: "a/", count: 100))) == nil)
  }
}
