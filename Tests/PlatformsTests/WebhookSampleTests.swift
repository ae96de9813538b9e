import JSON
import Testing

@testable import Platforms

@Suite("Samples sent many times")
struct WebhookSampleTests {
  private func sample(_ body: String) throws -> WebhookSample {
    try #require(WebhookSample(parsing: #"{"request":{"headers":{"A":"b"},"body":\#(body)}}"#))
  }

  @Test("numbers of updates and messages rise")
  func numbers() throws {
    let sample = try sample(#"{"update_id":5,"message":{"message_id":7,"chat":{"id":1},"text":"x"}}"#)
    let expected: JSONValue = [
      "update_id": 8, "message": ["message_id": 10, "chat": ["id": 1], "text": "x"],
    ]
    #expect(sample.varied(3).document == expected)
    #expect(sample.varied(0) == sample)
  }

  @Test("ids that are texts get another end")
  func texts() throws {
    let sample = try sample(#"{"type":"message","conversation":{"id":"c"},"message":{"id":"m"}}"#)
    #expect(sample.varied(2).document?["message"]?["id"] == "m-2")
    #expect(sample.varied(2).document?["conversation"]?["id"] == "c")
  }

  @Test("other bytes go with the same headers")
  func replacing() throws {
    let form = #"{"request":{"query":"q=1","headers":{"A":"b"},"form":{"x":"y"}}}"#
    let sample = try #require(WebhookSample(parsing: form))
    let (plain, other) = (sample.request(url: "u"), sample.replacing(body: [0xff]).request(url: "u"))
    #expect(other.body == [0xff])
    #expect(other.headers == plain.headers)
    #expect(other.headers.contains(WebhookHeader("Content-Type", "application/x-www-form-urlencoded")))
    #expect((other.method, other.query, other.url) == (plain.method, plain.query, plain.url))
  }

  @Test("a text without a request is no sample", arguments: ["", "{}", "[]", #"{"request":{}}"#])
  func none(text: String) {
    #expect(WebhookSample(parsing: text) == nil)
  }
}
