import Bytes
import Foundation
import JSON
import Messaging
import Platforms
import Testing

/// The samples under Webhooks/: requests as platforms send them, with the items that are read from
/// them. With `HUB_UPDATE_GOLDEN=1` the expected items are written anew; read the difference.
@Suite struct SampleTests {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  static let receivedAt = Timestamp(seconds: 1_795_219_200)

  static let samples: [String] = PlatformCatalogue.all.flatMap { platform -> [String] in
    let folder = root.appending(path: "Webhooks/\(platform.name)/samples")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { $0.hasSuffix(".json") }.sorted().map { "\(platform.name)/\($0)" }
  }

  @Test("reads every sample as expected, and the same when read again", arguments: samples)
  func sample(path: String) throws {
    let parts = path.split(separator: "/").map(String.init)
    let platform = try #require(PlatformCatalogue.named(parts[0]))
    let url = Self.root.appending(path: "Webhooks/\(parts[0])/samples/\(parts[1])")
    let sample = try JSONValue(parsing: Data(contentsOf: url))
    #expect(sample["name"]?.string.map { $0 + ".json" } == parts[1])
    #expect(sample["description"]?.string?.isEmpty == false)
    let delivery = try Self.delivery(#require(WebhookSample(sample)), platform)
    let result = try platform.normalise(delivery)
    #expect(result.faults.isEmpty)
    if result.items.isEmpty { #expect(sample["expected"] == []) }
    let items = JSONValue.array(result.parts.flatMap { part in part.items.map { Self.json($0, part) } })
    if ProcessInfo.processInfo.environment["HUB_UPDATE_GOLDEN"] == "1" {
      try Self.write(sample, expected: items, to: url)
      return
    }
    #expect(items == sample["expected"], "\(String(decoding: items.encoded(), as: UTF8.self))")
    #expect(try platform.normalise(delivery) == result)
  }

  static func delivery(_ sample: WebhookSample, _ platform: any Platform) -> WebhookDelivery {
    let request = sample.request(url: "https://hub.example.com/webhooks/\(platform.name)/key")
    return WebhookDelivery(
      body: request.content, headers: KeptHeaders(of: request, platform: platform), receivedAt: receivedAt,
      secrets: sample.credentials)
  }

  /// An item, with the platform's id of its account where the delivery named one.
  private static func json(_ item: InboundItem, _ part: Normalised.Part) -> JSONValue {
    guard let account = part.account, var members = item.json.object else { return item.json }
    members["account"] = .string(account)
    return .object(members)
  }

  @Test("has a sample for each platform")
  func hasSamples() {
    for platform in PlatformCatalogue.all {
      #expect(Self.samples.contains { $0.hasPrefix("\(platform.name)/") })
    }
  }

  private static func write(_ sample: JSONValue, expected: JSONValue, to url: URL) throws {
    var members = sample.object ?? [:]
    members["expected"] = expected
    let document = try JSONSerialization.jsonObject(with: Data(JSONValue.object(members).encoded()))
    let text = try JSONSerialization.data(
      withJSONObject: document, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
    try (text + Data("\n".utf8)).write(to: url)
  }
}
