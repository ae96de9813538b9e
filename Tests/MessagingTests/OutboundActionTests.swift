import JSON
import Messaging
import Testing

@Suite struct OutboundActionTests {
  static let actions: [OutboundAction] = [
    .message(OutboundMessage(text: "hi")),
    .message(
      OutboundMessage(
        kind: .image, text: nil,
        files: [
          OutboundFile(
            kind: .image, name: "a.png", mimeType: "image/png", sizeBytes: 5, storageKey: "uploads/1",
            publicURL: "https://example.com/a")
        ], replyTo: "7", replyThreadID: "r", threadID: "t", extras: ["template": ["name": "x"]])),
    .edit(OutboundEdit(messageID: "1", text: "new")),
    .delete(messageID: "1"),
    .react(messageID: "1", emoji: "👍", isSet: false),
    .read(upTo: "1"),
    .typing(false),
  ]

  @Test("comes out of the outbox as it went in", arguments: actions)
  func roundTrip(action: OutboundAction) throws {
    let text = action.json.encoded()
    #expect(OutboundAction(name: action.name, json: try JSONValue(parsing: text)) == action)
  }

  @Test(
    "is nothing when it was not written here",
    arguments: ["message", "edit", "delete", "react", "read", "other"])
  func strange(name: String) {
    #expect(OutboundAction(name: name, json: [:]) == nil)
    #expect(OutboundAction(name: name, json: .null) == nil)
  }
}
