import Bytes
import JSON
import Testing

@testable import Hub

@Suite("Bodies of API requests")
struct RequestFieldsTests {
  private let now = Timestamp(seconds: 1_795_000_000)

  private func fields(_ json: String) throws -> RequestFields {
    try RequestFields(parsing: Array(json.utf8))
  }

  private func problem(_ body: () throws -> Void) -> Problem? {
    do {
      try body()
      return nil
    } catch {
      return error as? Problem
    }
  }

  @Test("only a JSON object is a body", arguments: ["", "{", "[]", "5", "null", "\"text\"", "{\"a\":1"])
  func objects(json: String) {
    #expect(problem { _ = try fields(json) }?.code == "invalid_request")
  }

  @Test("an error names its field")
  func named() throws {
    let body = try fields(#"{"name":7,"id":"x","flag":"yes","list":["a",1],"empty":""}"#)
    #expect(problem { _ = try body.text("name") }?.field == "name")
    #expect(problem { _ = try body.id("id") }?.field == "id")
    #expect(problem { _ = try body.flag("flag") }?.field == "flag")
    #expect(problem { _ = try body.texts("list", countMax: 5) }?.field == "list")
    #expect(problem { _ = try body.text("empty") }?.field == "empty")
    #expect(problem { _ = try body.required("missing") }?.field == "missing")
    #expect(problem { try body.allow(only: ["name", "id", "flag", "list"]) }?.field == "empty")
  }

  @Test("a patch keeps what was given and nothing else")
  func patch() throws {
    let patch = try RouteTable.conversationPatch(
      try fields(
        #"{"state":"snoozed","snoozedUntil":"2030-01-01T00:00:00Z","assigneeId":null,"labels":["b","a","b"],"muted":true}"#
      ),
      now: now)
    #expect(
      patch == [
        "state": "snoozed", "snoozedUntil": "2030-01-01T00:00:00.000Z", "assigneeId": nil,
        "labels": ["a", "b"],
        "muted": true,
      ])
  }

  @Test(
    "a patch that means nothing is refused",
    arguments: [
      "{}", #"{"state":"asleep"}"#, #"{"state":5}"#, #"{"state":"snoozed"}"#, #"{"snoozedUntil":"tomorrow"}"#,
      #"{"snoozedUntil":"2001-01-01T00:00:00Z"}"#, #"{"labels":"a"}"#, #"{"muted":1}"#, #"{"title":"x"}"#,
      #"{"priority":"highest"}"#,
    ])
  func refused(json: String) {
    #expect(problem { _ = try RouteTable.conversationPatch(try fields(json), now: now) }?.status == 400)
  }

  @Test("members are added to a document without reading it")
  func adding() {
    let more: [(name: String, value: JSONValue)] = [("b", "x\"y")]
    #expect(
      String(decoding: JSONDocument.adding(more, to: Array(#"{"a":1}"#.utf8)), as: UTF8.self)
        == #"{"a":1,"b":"x\"y"}"#)
    #expect(
      String(decoding: JSONDocument.adding(more, to: Array("{}".utf8)), as: UTF8.self) == #"{"b":"x\"y"}"#)
    #expect(
      String(decoding: JSONDocument.list([[49], [50]], next: nil), as: UTF8.self)
        == #"{"items":[1,2],"nextCursor":null}"#)
  }
}
