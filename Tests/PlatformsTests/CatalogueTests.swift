import Foundation
import JSON
import Messaging
import Platforms
import Testing

/// What must hold for every platform of the catalogue.
@Suite("Catalogue")
struct CatalogueTests {
  static let names = PlatformCatalogue.all.map(\.name.rawValue)

  @Test("capabilities do not contradict each other", arguments: names)
  func capabilities(name: String) throws {
    let capabilities = try #require(PlatformCatalogue.named(name)).capabilities
    #expect(capabilities.canReply == capabilities.kinds.contains(.text))
    let files: Set<MessageKind> = [.image, .video, .audio, .file]
    #expect(capabilities.canAttach == capabilities.kinds.contains { files.contains($0) })
    #expect(Set(capabilities.kinds).count == capabilities.kinds.count)
    #expect(!capabilities.kinds.contains(.unsupported) && !capabilities.kinds.contains(.system))
    if !capabilities.canReply { #expect(capabilities.textUnitsMax == nil && capabilities.replyWindow == nil) }
    if !capabilities.canEdit { #expect(capabilities.editAgeMax == nil) }
    if !capabilities.canDelete { #expect(capabilities.deleteAgeMax == nil) }
    for number in [
      capabilities.textUnitsMax, capabilities.editAgeMax, capabilities.deleteAgeMax, capabilities.replyWindow,
    ] {
      #expect(number ?? 1 > 0)
    }
  }

  /// Platforms that can be told that a message was read.
  private static let marking: Set<String> = [
    "telegram", "whatsapp", "messenger", "instagram", "slack", "vonage", "teams-graph", "signal", "matrix",
    "mattermost", "rocketchat", "zulip", "bluesky", "reddit", "line", "custom",
  ]

  @Test("is told what was read where it can be, whether or not it gives receipts", arguments: names)
  func marksRead(name: String) throws {
    let platform = try #require(PlatformCatalogue.named(name))
    #expect(platform.capabilities.canMarkRead == Self.marking.contains(name))
    guard let sender = platform as? any SendingPlatform else { return }
    let secrets = [
      "accessToken", "appId", "tenantId", "userId", "refreshToken", "server", "number", "homeserver",
      "apiKey", "apiSecret", "from", "botToken", "site", "email", "realm", "handle", "appPassword",
      "clientId",
      "phoneNumberId", "pageId", "instagramAccountId", "secret", "url", "outboundURL", "sendURL",
      "authToken", "userName", "apiURL", "channelAccessToken",
    ]
    var values = Dictionary(secrets.map { ($0, ["https://x.test"]) }, uniquingKeysWith: { $1 })
    values["webhookSecret"] = ["whsec_" + String(repeating: "A", count: 43) + "="]
    let job = Dialogue.job(
      .read(upTo: "u-1:17"), to: name == "vonage" ? "whatsapp:1" : "u-1:1", secrets: values, token: "t",
      lastInboundID: "u-1:17", details: ["markAsReadToken": "t"])
    let refusal = SendRules.refusal(of: job, on: sender)
    if platform.capabilities.canMarkRead {
      #expect(refusal?.code != .notSupported)
      #expect(sender.next(job, after: []).request != nil)
    } else {
      #expect(refusal?.code == .notSupported)
    }
  }

  @Test("has a README that says how it is set up and what says who sends", arguments: names)
  func readme(name: String) throws {
    let url = SampleTests.root.appending(path: "Webhooks/\(name)/README.md")
    let text = try String(contentsOf: url, encoding: .utf8)
    #expect(text.contains("\n## Set up\n"))
    // What is only polled has nobody who sends.
    guard PlatformCatalogue.named(name)?.hasWebhook == true else {
      #expect(text.contains("\n## Polling\n"))
      return
    }
    #expect(text.contains("\n## Authenticity\n") || text.contains("\n## Signature\n"))
  }

  /// All that a Mattermost webhook can send is a post. What is only polled is judged by its poller's tests.
  @Test(
    "shows what it does not know",
    arguments: names.filter { $0 != "mattermost" && PlatformCatalogue.named($0)?.hasWebhook == true })
  func unknown(name: String) throws {
    let samples = SampleTests.samples.filter { $0.hasPrefix("\(name)/") }
    let isShown = try samples.contains { path in
      let file = path.replacingOccurrences(of: "\(name)/", with: "\(name)/samples/")
      let url = SampleTests.root.appending(path: "Webhooks/\(file)")
      let expected = try JSONValue(parsing: Data(contentsOf: url))["expected"]?.array ?? []
      return expected.contains { $0["kind"] == "unsupported" }
    }
    #expect(isShown)
  }
}
