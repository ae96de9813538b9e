import Bytes
import Foundation
import JSON
import Messaging
import Platforms
import Testing

/// Whatever comes in, reading ends in items or in a reason.
@Suite struct GarbageTests {
  private struct Dice {
    var state: UInt64
    mutating func roll(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
  }

  private static func delivery(_ body: [UInt8]) -> WebhookDelivery {
    WebhookDelivery(body: body, receivedAt: SampleTests.receivedAt)
  }

  private static func read(_ name: String, _ body: [UInt8]) -> Normalised? {
    try? PlatformCatalogue.named(name)?.normalise(delivery(body))
  }

  private static func sample(_ path: String) throws -> (any Platform, WebhookSample) {
    let parts = path.split(separator: "/").map(String.init)
    let url = SampleTests.root.appending(path: "Webhooks/\(parts[0])/samples/\(parts[1])")
    let sample = WebhookSample(try JSONValue(parsing: Data(contentsOf: url)))
    return (try #require(PlatformCatalogue.named(parts[0])), try #require(sample))
  }

  /// The sample's request with another body.
  private static func read(
    _ platform: any Platform, _ sample: WebhookSample, _ body: [UInt8]
  ) -> Normalised? {
    let delivery = SampleTests.delivery(sample, platform)
    return try? platform.normalise(
      WebhookDelivery(
        body: body, headers: delivery.headers, receivedAt: delivery.receivedAt, secrets: delivery.secrets))
  }

  @Test("survives cuts and flipped bits", arguments: SampleTests.samples)
  func bytes(path: String) throws {
    let (platform, sample) = try Self.sample(path)
    let body = SampleTests.delivery(sample, platform).body
    guard !body.isEmpty else { return }
    var dice = Dice(state: UInt64(body.count))
    for _ in 0..<40 {
      _ = Self.read(platform, sample, Array(body[..<dice.roll(body.count)]))
      var flipped = body
      for _ in 0...dice.roll(3) { flipped[dice.roll(body.count)] ^= 1 << UInt8(dice.roll(8)) }
      _ = Self.read(platform, sample, flipped)
    }
  }

  @Test("survives any member of another type", arguments: SampleTests.samples)
  func types(path: String) throws {
    let (platform, sample) = try Self.sample(path)
    guard let value = sample.document else { return }
    let replacements: [JSONValue] = [
      nil, true, -1, 0.5, "", "x\u{0}y", [], [nil, 1], [:], .integer(.max), .integer(.min), .unsigned(.max),
      .number(1e300), .string(String(repeating: "é", count: 2_000)), [["a": "b"]],
    ]
    var count = 0
    Self.mutants(value, replacements) { mutant in
      count += 1
      // Every seventh: each sample leaves out others, and together they leave out none for long.
      guard (count + path.utf8.count) % 7 == 0 else { return }
      let result = Self.read(platform, sample, mutant.encoded())
      let texts = result?.items.map { String(decoding: $0.json.encoded(), as: UTF8.self) } ?? []
      #expect(!texts.contains { $0.contains("\\u0000") })
    }
    #expect(count > replacements.count)
  }

  /// Every value of the document replaced, one at a time.
  private static func mutants(
    _ value: JSONValue, _ replacements: [JSONValue], _ body: (JSONValue) -> Void
  ) {
    for replacement in replacements { body(replacement) }
    if case .object(let members) = value {
      for (key, member) in members {
        mutants(member, replacements) { mutant in
          var changed = members
          changed[key] = mutant
          body(.object(changed))
        }
      }
    }
    if case .array(let elements) = value {
      for (index, element) in elements.enumerated() {
        mutants(element, replacements) { mutant in
          var changed = elements
          changed[index] = mutant
          body(.array(changed))
        }
      }
    }
  }

  @Test(
    "refuses bodies that are none, with a reason", arguments: ["telegram", "teams", "google-chat", "custom"])
  func bodies(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    let deep = String(repeating: "[", count: 100_000)
    for text in [
      "", "{", "[]", "null", "7", "\"x\"", "{}", deep, "{\"update_id\":1,\"message\":\(deep)", "\u{0}",
    ] {
      #expect(throws: NormaliseError.self) {
        try platform.normalise(Self.delivery(Array(text.utf8)))
      }
    }
    #expect(throws: NormaliseError.notJSON) {
      try platform.normalise(Self.delivery([0xff, 0xfe]))
    }
  }

  @Test("names the place of what is wrong")
  func places() throws {
    func reason(_ name: String, _ text: String) -> String {
      let platform = PlatformCatalogue.named(name)
      do {
        let result = try platform?.normalise(Self.delivery(Array(text.utf8)))
        return result?.faults.map(\.description).joined(separator: "; ") ?? ""
      } catch {
        return "\(error)"
      }
    }
    #expect(reason("telegram", #"{"message":{}}"#) == "update_id is missing")
    #expect(reason("telegram", #"{"update_id":"x","message":{}}"#) == "update_id is not a whole number")
    #expect(reason("telegram", #"{"update_id":1,"message":{"chat":{}}}"#) == "message.chat.id is missing")
    #expect(reason("custom", #"{"type":"message"}"#) == "conversation is missing")
    let batch = """
      {"batch":[{"type":"message","conversation":{"id":"c"},"message":{"id":"m","text":1}},
      {"type":"typing","conversation":{"id":"c"},"sender":{"id":"v"}},7]}
      """
    #expect(reason("custom", batch) == "batch[0].message.text is not a string; batch[2] is not an object")
    #expect(Self.read("custom", Array(batch.utf8))?.items.count == 1)
  }

  @Test("keeps ids exact")
  func ids() throws {
    let text = """
      {"update_id":1,"message":{"message_id":9007199254740993,"date":1,
      "chat":{"id":-9223372036854775808,"type":"private"},"text":"x\\u0000y"}}
      """
    let result = try #require(Self.read("telegram", Array(text.utf8)))
    guard case .message(let message)? = result.items.first else { throw NormaliseError.notJSON }
    #expect(message.externalID == "9007199254740993")
    #expect(message.conversation.externalID == "-9223372036854775808")
    #expect(message.text == "x\u{fffd}y")
  }
}
