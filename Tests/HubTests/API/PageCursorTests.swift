import Bytes
import JSON
import Testing

@testable import Hub

@Suite("Paging cursors")
struct PageCursorTests {
  private static let id = UUIDv7(milliseconds: 1_795_000_000_000, counter: 7, random: 42)
  private static let at = Timestamp(microseconds: 1_795_000_000_123_456)

  static let all: [PageCursor] = [
    .conversation(at: at, id: id), .delivery(at: at, id: id), .message(.before, id: id),
    .message(.after, id: id),
  ]

  @Test("a cursor comes back as it went out", arguments: all)
  func roundTrip(cursor: PageCursor) {
    #expect(PageCursor(text: cursor.text) == cursor)
    #expect(cursor.text.utf8.allSatisfy { $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "/") })
  }

  @Test("a cut or changed cursor is refused or another valid one, and never crashes", arguments: all)
  func damaged(cursor: PageCursor) {
    let text = cursor.text
    for end in text.indices { #expect(PageCursor(text: text[..<end]) != cursor) }
    for index in text.indices {
      var changed = text
      changed.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
      _ = PageCursor(text: changed)
    }
  }

  @Test(
    "what this hub did not write is refused",
    arguments: [
      "{}", "[]", "null", #"{"k":"c","i":"x","t":1}"#, #"{"k":"z","i":"\#(id)","t":1}"#,
      #"{"k":"c","i":"\#(id)"}"#,
      #"{"k":"m","i":"\#(id)","d":"sideways"}"#, #"{"k":"m","i":"\#(id)","t":1}"#,
      #"{"k":"c","i":"\#(id)","t":"1"}"#, #"{"k":"c","i":"\#(id)","t":1,"x":1}"#,
    ])
  func foreign(json: String) {
    #expect(PageCursor(text: Base64.encode(Array(json.utf8), .url)) == nil)
  }

  @Test("a text that is too long is not even read")
  func long() {
    #expect(PageCursor(text: String(repeating: "A", count: 1_000)) == nil)
  }

  @Test(
    "a time that the store cannot hold is refused",
    arguments: [Int64.min, -1_000_000_000_000_000_000, 1_000_000_000_000_000_000, .max])
  func timeOutOfRange(microseconds: Int64) {
    let at = Timestamp(microseconds: microseconds)
    #expect(PageCursor(text: PageCursor.conversation(at: at, id: Self.id).text) == nil)
    #expect(PageCursor(text: PageCursor.delivery(at: at, id: Self.id).text) == nil)
  }
}
