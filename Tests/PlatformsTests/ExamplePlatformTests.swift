import Bytes
import Foundation
import JSON
import Messaging
import Testing

@testable import Platforms

// The worked example of ARCHITECTURE.md, between the two marks.

// example
/// Acme Chat (https://acme.example/docs/webhooks): a request for each message, signed over its body.
struct AcmePlatform: Platform {
  let name: PlatformName = "acme"
  let displayName = "Acme Chat"
  let parserVersion = 1
  let capabilities = ConversationCapabilities(canReply: true, textUnitsMax: 1_000, kinds: [.text])

  private static let secretField = "webhookSecret"
  private static let signature = HMACSignature(
    header: "X-Acme-Signature", form: .hex, secretField: secretField)

  let credentials = [
    CredentialField(
      secretField, "The signing secret, from the webhook's page.", isSecret: true, isRequired: true,
      isGenerated: false)
  ]

  func fault(in secrets: AccountSecrets) -> String? { RequiredSecret.fault(Self.secretField, in: secrets) }

  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict {
    if let reason = Self.signature.refusal(of: request, context) { return .refused(reason: reason) }
    return .accepted(.ok)
  }

  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised {
    let body = try JSONReader(body: delivery.body)
    let user = try body.requiredObject("user")
    let person = Person(id: try user.requiredID("id"), name: MessageText.name(try user.text("name")))
    let text = try body.text("text")
    let message = InboundMessage(
      conversation: ConversationRef(externalID: person.id, kind: .direct, title: person.name),
      externalID: try body.requiredID("id"), sender: person, kind: text == nil ? .unsupported : .text,
      text: text.map { MessageText.sanitised($0) },
      details: text == nil ? ["raw": .object(body.members)] : nil,
      sentAt: try body.integer("time").map { Timestamp(seconds: $0).clamped } ?? delivery.receivedAt)
    return Normalised(items: [.message(message)])
  }

  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest? {
    Self.signature.sign(request, secrets: secrets)
  }
}
// end of example

/// Keeps the page "Adding a platform" true: what stands there is what is compiled and run here.
@Suite struct ExamplePlatformTests {
  private static let platform = AcmePlatform()
  private static let secrets = AccountSecrets(["webhookSecret": ["new", "old"]])

  /// The blocks of a language in ARCHITECTURE.md, from the heading of the page on.
  private static func blocks(_ language: String) throws -> [String] {
    let document = try String(
      contentsOf: SampleTests.root.appending(path: "ARCHITECTURE.md"), encoding: .utf8)
    let page = try #require(document.components(separatedBy: "## Adding a platform\n").dropFirst().first)
    let section = page.components(separatedBy: "\n## ")[0]
    return section.components(separatedBy: "```\(language)\n").dropFirst().map {
      $0.components(separatedBy: "```")[0]
    }
  }

  private static func sample() throws -> JSONValue {
    try JSONValue(parsing: try #require(blocks("json").first).utf8)
  }

  @Test("stands in the document as it stands here")
  func text() throws {
    let source = try String(contentsOfFile: #filePath, encoding: .utf8)
    let marked = try #require(source.components(separatedBy: "\n// example\n").dropFirst().first)
    let example = try #require(marked.components(separatedBy: "// end of example").first)
    #expect(try Self.blocks("swift") == [example])
  }

  @Test("reads the document's sample as it says there")
  func reads() throws {
    let sample = try Self.sample()
    let delivery = try SampleTests.delivery(#require(WebhookSample(sample)), Self.platform)
    let items = try Self.platform.normalise(delivery).items.map(\.json)
    #expect(JSONValue.array(items) == sample["expected"])
  }

  @Test("takes what is signed with a valid secret, and nothing else")
  func verifies() throws {
    let now = SampleTests.receivedAt
    let plain = try #require(WebhookSample(Self.sample())).request(
      url: "https://hub.example.com/webhooks/acme/key")
    for secret in ["new", "old", "other"] {
      let secrets = AccountSecrets(["webhookSecret": [secret]])
      let signed = try #require(Self.platform.signed(plain, secrets: secrets, now: now, id: "1"))
      let verdict = Self.platform.receive(signed, WebhookContext(secrets: Self.secrets, now: now))
      #expect((verdict == .accepted(.ok)) == (secret != "other"))
    }
    #expect(Self.platform.fault(in: AccountSecrets()) != nil)
  }
}
