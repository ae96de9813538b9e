import Bytes
import HTTPWire
import JSON
import Messaging
import Platforms
import Testing

/// What tests of senders and pollers say over and over.
enum Dialogue {
  static let now = Timestamp(seconds: 1_795_219_200)
  static let key = "0199-key"

  static func answer(
    _ json: JSONValue, status: Int = 200, _ headers: [String: String] = [:]
  ) -> APIAnswer {
    APIAnswer(
      status: status, headers: headers.sorted { $0.key < $1.key }.map { APIField($0.key, $0.value) },
      body: json.encoded())
  }

  static func job(
    _ action: OutboundAction, to conversation: String, kind: ConversationRef.Kind = .direct,
    secrets: [String: [String]], token: String? = nil, account: String? = nil, lastInboundID: String? = nil,
    details: JSONValue? = nil
  ) -> SendJob {
    SendJob(
      action: action, conversation: ConversationRef(externalID: conversation, kind: kind),
      lastInboundAt: now, lastInboundID: lastInboundID, lastInboundDetails: details, account: account,
      secrets: AccountSecrets(secrets), token: token, key: key, now: now)
  }

  static func poll(
    _ mode: PollJob.Mode = .live, cursor: JSONValue? = nil, secrets: [String: [String]], token: String? = nil
  ) -> PollJob {
    PollJob(mode: mode, cursor: cursor, secrets: AccountSecrets(secrets), token: token, now: now)
  }

  static func sender(_ name: String) throws -> any SendingPlatform {
    try #require(PlatformCatalogue.named(name) as? any SendingPlatform)
  }

  static func poller(_ name: String) throws -> any PollingPlatform {
    try #require(PlatformCatalogue.named(name) as? any PollingPlatform)
  }

  static func file(_ kind: Messaging.Attachment.Kind = .image, url: String? = nil) -> OutboundFile {
    OutboundFile(
      kind: kind, name: kind == .image ? "a.png" : "a.pdf",
      mimeType: kind == .image ? "image/png" : "application/pdf", sizeBytes: 9, storageKey: "k",
      publicURL: url)
  }
}

extension SendStep {
  var request: APIRequest? { if case .call(let request) = self { request } else { nil } }
  var receipt: SendReceipt? { if case .done(let receipt) = self { receipt } else { nil } }
  var failure: APIFailure? { if case .failed(let failure) = self { failure } else { nil } }
}

extension PollStep {
  var request: APIRequest? { if case .call(let request) = self { request } else { nil } }
  var page: PollPage? { if case .page(let page) = self { page } else { nil } }
  var failure: APIFailure? { if case .failed(let failure) = self { failure } else { nil } }
}

extension APIRequest {
  /// Method and address, without the query.
  var line: String { "\(method) \(url.split(separator: "?", maxSplits: 1)[0])" }

  var json: JSONValue? { if case .json(let value) = body { value } else { nil } }

  var form: [String: String] {
    guard case .form(let fields) = body else { return [:] }
    return Dictionary(fields.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
  }

  /// Parameters of the query, decoded.
  var query: [String: String] {
    let parts = url.split(separator: "?", maxSplits: 1)
    let items = parts.count == 2 ? (try? URLQuery(String(parts[1])))?.items ?? [] : []
    return Dictionary(items.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
  }

  func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

extension Normalised {
  var messages: [InboundMessage] {
    items.compactMap { if case .message(let message) = $0 { message } else { nil } }
  }
  var edits: [MessageEdit] { items.compactMap { if case .edit(let edit) = $0 { edit } else { nil } } }
  var deletions: [MessageDeletion] {
    items.compactMap { if case .delete(let deletion) = $0 { deletion } else { nil } }
  }
  var reactions: [ReactionChange] {
    items.compactMap { if case .reaction(let change) = $0 { change } else { nil } }
  }
}
