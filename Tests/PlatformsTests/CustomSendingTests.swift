import Messaging
import Platforms
import Testing

/// What is sent to your own system; the request itself is tested end to end, with the library as its judge.
@Suite struct CustomSendingTests {
  private static let secrets = [
    "webhookSecret": ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="], "sendURL": ["https://me/in"],
  ]

  @Test("files go as addresses: one that has none is refused before the network")
  func files() throws {
    let sender = try Dialogue.sender("custom")
    func code(_ file: OutboundFile) -> SendRefusal.Code? {
      let action = OutboundAction.message(OutboundMessage(kind: .image, files: [file]))
      return SendRules.refusal(of: Dialogue.job(action, to: "c1", secrets: Self.secrets), on: sender)?.code
    }
    #expect(code(Dialogue.file(url: "https://files/a.png")) == nil)
    #expect(code(Dialogue.file()) == .invalidContent)
  }
}
