import Bytes
import Foundation
import JSON
import Messaging
import Platforms
import Testing

/// What a platform sends again arrives at another time and must change nothing: everything has to be called
/// what it was called before.
@Suite struct RedeliveryTests {
  /// KakaoTalk gives neither ids nor times: the second of the receipt is a part of the id.
  private static let nameless: Set<String> = ["kakaotalk"]

  private static let samples = SampleTests.samples.filter { path in
    !nameless.contains(String(path.prefix { $0 != "/" }))
  }

  @Test("names everything alike when it comes again later", arguments: samples)
  func later(path: String) throws {
    let parts = path.split(separator: "/").map(String.init)
    let platform = try #require(PlatformCatalogue.named(parts[0]))
    let url = SampleTests.root.appending(path: "Webhooks/\(parts[0])/samples/\(parts[1])")
    let sample = try #require(WebhookSample(JSONValue(parsing: Data(contentsOf: url))))
    let first = SampleTests.delivery(sample, platform)
    let again = WebhookDelivery(
      body: first.body, headers: first.headers,
      receivedAt: Timestamp(seconds: first.receivedAt.seconds + 3_600),
      secrets: first.secrets)
    let names = try platform.normalise(first).items.map(Self.name)
    #expect(try platform.normalise(again).items.map(Self.name) == names)
  }

  private static func name(_ item: InboundItem) -> String {
    let json = item.json
    let ids = ["id", "ids", "externalIds", "actor"].compactMap { json[$0] }
    return String(
      decoding: JSONValue.array([json["conversation"]?["id"] ?? .null] + ids).encoded(), as: UTF8.self)
  }
}
