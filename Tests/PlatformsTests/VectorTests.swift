import Bytes
import Foundation
import JSON
import Platforms
import Testing

/// Requests that were signed and checked by the platforms' own libraries.
@Suite struct VectorTests {
  static let vectors: [JSONValue] = {
    let url = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Fixtures/webhook-vectors.json")
    return (try? JSONValue(parsing: Data(contentsOf: url)))?.array ?? []
  }()

  @Test("judges every vector as expected", arguments: vectors.compactMap { $0["id"]?.string })
  func vector(id: String) throws {
    let vector = try #require(Self.vectors.first { $0["id"]?.string == id })
    let platform = try #require(PlatformCatalogue.named(id.hasPrefix("telegram") ? "telegram" : "custom"))
    let secret = try #require(vector["secret"]?.string ?? vector["secret"]?["public_key"]?.string)
    let request = WebhookRequest(
      headers: (vector["headers"]?.object ?? [:]).compactMap { name, value in
        value.string.map { WebhookHeader(name, $0) }
      },
      body: Array((vector["body"]?.string ?? "").utf8))
    let now = Timestamp(seconds: try #require(vector["now"]?.integer))
    // As after a change of secrets: the old one is still valid.
    let newer = platform.generated(for: AccountSecrets(), random: { [UInt8](repeating: 7, count: $0) })
    let secrets = AccountSecrets(["webhookSecret": [try #require(newer["webhookSecret"]), secret]])
    #expect(platform.fault(in: secrets) == nil)
    switch platform.receive(request, secrets: secrets, now: now) {
    case .accepted(_, let answer):
      #expect(vector["expect"] == "valid")
      #expect(answer.status == 200)
    case .refused: #expect(vector["expect"] == "invalid")
    case .answer: Issue.record("a handshake")
    }
    #expect(
      platform.receive(request, secrets: AccountSecrets(), now: now)
        != .accepted(deliveryKey: nil, answer: .ok))
  }

  @Test("has the vectors")
  func isThere() {
    #expect(Self.vectors.count == 7)
  }

  @Test("takes what it signs itself, once its headers are there once", arguments: ["telegram", "custom"])
  func signing(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    let generated = platform.generated(for: AccountSecrets(), random: { [UInt8](repeating: 7, count: $0) })
    let secrets = AccountSecrets(generated.mapValues { [$0] })
    let now = Timestamp(seconds: 1_795_219_200)
    let body = Array("{}".utf8)
    let headers = try #require(platform.sign(body, secrets: secrets, now: now, id: "msg_1"))
    func verdict(_ headers: [WebhookHeader], _ body: [UInt8]) -> Bool {
      let request = WebhookRequest(headers: headers, body: body)
      if case .accepted = platform.receive(request, secrets: secrets, now: now) { return true }
      return false
    }
    #expect(verdict(headers, body))
    #expect(verdict(headers.map { WebhookHeader($0.name.uppercased(), $0.value) }, body))
    #expect(!verdict(headers + headers, body))
    #expect(!verdict(Array(headers.dropLast()), body))
    #expect(!verdict(headers.map { WebhookHeader($0.name, $0.value + "x") }, body))
    #expect(platform.sign(body, secrets: AccountSecrets(), now: now, id: "x") == nil)
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
