import Bytes
import Foundation
import JSON
import Platforms
import Security
import Testing

/// Requests that were signed and checked by the platforms' own libraries.
@Suite struct VectorTests {
  static let vectors: [JSONValue] = {
    let url = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Fixtures/webhook-vectors.json")
    return (try? JSONValue(parsing: Data(contentsOf: url)))?.array ?? []
  }()

  /// Those whose platform is in the catalogue.
  static let judged = vectors.filter { VectorContext.platform($0) != nil }.compactMap { $0["id"]?.string }

  @Test("judges every vector as expected", arguments: judged)
  func vector(id: String) throws {
    let vector = try #require(Self.vectors.first { $0["id"]?.string == id })
    let platform = try #require(VectorContext.platform(vector))
    let request = try VectorContext.request(vector)
    let context = try VectorContext.context(vector, platform)
    let verdict = platform.receive(request, context)
    switch verdict {
    case .accepted(let answer):
      #expect(vector["expect"] == "valid")
      #expect((200...299).contains(answer.status))
      expect(answer, vector["response"])
    case .answer(let answer):
      #expect(vector["expect"] == "valid")
      expect(answer, vector["response"])
    case .refused, .needsKeys: #expect(vector["expect"] == "invalid")
    }
    let stranger = platform.receive(request, WebhookContext(secrets: AccountSecrets(), now: context.now))
    if case .accepted = stranger { Issue.record("accepted without a secret") }
  }

  /// An answer that the vector names is met to the byte; JSON by its value.
  private func expect(_ answer: WebhookAnswer, _ response: JSONValue?) {
    guard let response else { return }
    if let status = response["status"]?.integer { #expect(Int64(answer.status) == status) }
    let body = String(decoding: answer.body, as: UTF8.self)
    switch response["body"] {
    case .string(let text)?:
      let isJSON = text.hasPrefix("{")
      if isJSON {
        #expect((try? JSONValue(parsing: body.utf8)) == (try? JSONValue(parsing: text.utf8)))
      } else {
        #expect(body == text)
      }
    case let document? where !document.isNull: #expect((try? JSONValue(parsing: body.utf8)) == document)
    default: break
    }
  }

  @Test("has the vectors")
  func isThere() {
    #expect(Self.vectors.count == 98)
    #expect(Self.judged.count >= 7)
  }

  @Test("takes what it signs itself, and nothing like it", arguments: ["telegram", "custom"])
  func signing(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    let generated = platform.generated(for: AccountSecrets(), random: { [UInt8](repeating: 7, count: $0) })
    let secrets = AccountSecrets(generated.mapValues { [$0] })
    let now = Timestamp(seconds: 1_795_219_200)
    let plain = WebhookRequest(headers: [], body: Array("{}".utf8))
    let signed = try #require(platform.signed(plain, secrets: secrets, now: now, id: "msg_1"))
    func isAccepted(_ headers: [WebhookHeader]) -> Bool {
      let request = WebhookRequest(headers: headers, body: plain.body)
      let verdict = platform.receive(request, WebhookContext(secrets: secrets, now: now))
      if case .accepted = verdict { return true }
      return false
    }
    let headers = signed.headers
    #expect(isAccepted(headers))
    #expect(isAccepted(headers.map { WebhookHeader($0.name.uppercased(), $0.value) }))
    #expect(!isAccepted(headers + headers))
    #expect(!isAccepted(Array(headers.dropLast())))
    #expect(!isAccepted(headers.map { WebhookHeader($0.name, $0.value + "x") }))
    #expect(platform.signed(plain, secrets: AccountSecrets(), now: now, id: "x") == nil)
    #expect(platform.fault(in: AccountSecrets()) != nil)
    #expect(platform.fault(in: AccountSecrets(["webhookSecret": ["not a secret!"]])) != nil)
  }

  @Test("keeps credentials out of texts, and reads them back")
  func secrets() throws {
    let secrets = AccountSecrets(["webhookSecret": ["s3cr3t", "0ld"]])
    var dumped = ""
    dump(secrets, to: &dumped)
    #expect(!"\(secrets) \(dumped)".contains("s3cr3t"))
    #expect(AccountSecrets(json: secrets.json) == secrets)
    #expect(AccountSecrets(json: ["a": "x", "b": nil])?["a"] == ["x"])
    #expect(AccountSecrets(json: ["a": 1]) == nil)
    #expect(AccountSecrets(json: ["a": [1]]) == nil)
    #expect(AccountSecrets(json: "x") == nil)
  }
}
