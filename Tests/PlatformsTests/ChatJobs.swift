import Bytes
import JSON
import Messaging
import Platforms
import Testing

/// Jobs for senders and pollers, answers of platforms, and what a hub does between them.
enum ChatJobs {
  static let now = Timestamp(seconds: 1_795_219_200)
  static let key = "01a1fb67-1800-7000-8000-000000000001"

  static func sender(_ name: String) throws -> any SendingPlatform {
    try #require(PlatformCatalogue.named(name) as? any SendingPlatform)
  }

  static func poller(_ name: String) throws -> any PollingPlatform {
    try #require(PlatformCatalogue.named(name) as? any PollingPlatform)
  }

  static func secrets(_ values: [String: String]) -> AccountSecrets {
    AccountSecrets(values.mapValues { [$0] })
  }

  /// To one person.
  static func job(
    _ action: OutboundAction, to id: String, _ values: [String: String], token: String? = nil
  ) -> SendJob {
    job(action, to: id, .direct, values, token: token)
  }

  static func job(
    _ action: OutboundAction, to id: String, _ kind: ConversationRef.Kind, _ values: [String: String],
    token: String? = nil
  ) -> SendJob {
    SendJob(
      action: action, conversation: ConversationRef(externalID: id, kind: kind),
      lastInboundAt: Timestamp(seconds: now.seconds - 60), lastInboundID: "IN-1", secrets: secrets(values),
      token: token, key: key, now: now)
  }

  static func file(
    _ kind: Messaging.Attachment.Kind, _ type: String, name: String = "a.bin", size: Int64 = 1_000,
    url: String? = nil
  ) -> OutboundFile {
    OutboundFile(
      kind: kind, name: name, mimeType: type, sizeBytes: size, storageKey: "k", publicURL: url)
  }

  static func answer(
    _ json: JSONValue, status: Int = 200, headers: [String: String] = [:]
  ) -> APIAnswer {
    APIAnswer(
      status: status, headers: headers.map { APIField($0.key, $0.value) }, body: json.encoded())
  }

  // MARK: Sending

  /// The call that a step asks for.
  static func call(_ step: SendStep) throws -> APIRequest {
    guard case .call(let request) = step else {
      Issue.record("\(step) is no call")
      throw Unexpected()
    }
    return request
  }

  static func receipt(_ step: SendStep) throws -> SendReceipt {
    guard case .done(let receipt) = step else {
      Issue.record("\(step) is not the end")
      throw Unexpected()
    }
    return receipt
  }

  static func failure(_ step: SendStep) throws -> APIFailure {
    guard case .failed(let failure) = step else {
      Issue.record("\(step) is no failure")
      throw Unexpected()
    }
    return failure
  }

  static func remedy(_ name: String, _ job: SendJob, _ answer: APIAnswer) throws -> APIFailure.Remedy {
    try failure(sender(name).next(job, after: [answer])).remedy
  }

  static func json(_ request: APIRequest) throws -> JSONValue {
    guard case .json(let value) = request.body else {
      Issue.record("\(request.body) is no JSON")
      throw Unexpected()
    }
    return value
  }

  static func form(_ request: APIRequest) throws -> [String: String] {
    guard case .form(let fields) = request.body else {
      Issue.record("\(request.body) is no form")
      throw Unexpected()
    }
    return Dictionary(fields.map { ($0.name, $0.value) }, uniquingKeysWith: { "\($0),\($1)" })
  }

  static func parts(_ request: APIRequest) throws -> [APIPart] {
    guard case .multipart(let parts) = request.body else {
      Issue.record("\(request.body) has no parts")
      throw Unexpected()
    }
    return parts
  }

  /// A parameter of a call, still encoded.
  static func query(_ request: APIRequest, _ name: String) -> String? {
    let parts = request.url.split(separator: "?", maxSplits: 1)
    guard parts.count == 2 else { return nil }
    let pair = parts[1].split(separator: "&").first { $0.hasPrefix("\(name)=") }
    return pair.map { String($0.dropFirst(name.utf8.count + 1)) }
  }

  /// The path of a call behind a base address.
  static func path(_ request: APIRequest, _ base: String) -> String {
    let path = request.url.split(separator: "?", maxSplits: 1).first.map(String.init) ?? ""
    return path.hasPrefix(base) ? String(path.dropFirst(base.utf8.count)) : path
  }

  static func header(_ request: APIRequest, _ name: String) -> String? {
    request.headers.first { $0.name == name }?.value
  }

  /// A refusal's code, by what the platform says of itself and by what the sender adds.
  static func refusal(_ name: String, _ job: SendJob) throws -> SendRefusal.Code? {
    SendRules.refusal(of: job, on: try sender(name))?.code
  }

  // MARK: Polling

  struct Unexpected: Error {}

  struct Polled {
    var items: [InboundItem] = []
    var faults: [NormaliseError] = []
    var cursor: JSONValue?
    var calls: [APIRequest] = []

    var messages: [InboundMessage] {
      items.compactMap { item in if case .message(let message) = item { message } else { nil } }
    }
    var edits: [MessageEdit] {
      items.compactMap { item in if case .edit(let edit) = item { edit } else { nil } }
    }
    var deleted: [String] {
      items.flatMap { item -> [String] in
        guard case .delete(let deletion) = item else { return [] }
        return deletion.externalIDs
      }
    }
  }

  /// Polls live.
  static func poll(
    _ name: String, cursor: JSONValue? = nil, _ values: [String: String], now: Timestamp = now,
    serve: (APIRequest) throws -> APIAnswer
  ) throws -> Polled {
    try poll(name, .live, cursor: cursor, values, now: now, serve: serve)
  }

  /// Polls until nothing more is there, as the hub does, and checks that the same answers give the same step.
  static func poll(
    _ name: String, _ mode: PollJob.Mode, cursor: JSONValue? = nil, _ values: [String: String],
    now: Timestamp = now, callsMax: Int = 100, serve: (APIRequest) throws -> APIAnswer
  ) throws -> Polled {
    let platform = try poller(name)
    var result = Polled(cursor: cursor)
    while result.calls.count < callsMax {
      let job = PollJob(mode: mode, cursor: result.cursor, secrets: secrets(values), now: now)
      var answers: [APIAnswer] = []
      var page: PollPage?
      while page == nil {
        let step = platform.poll(job, after: answers)
        #expect(step == platform.poll(job, after: answers))
        switch step {
        case .call(let request), .listen(let request):
          result.calls.append(request)
          answers.append(try serve(request))
        case .page(let found): page = found
        case .failed(let failure): throw failure
        }
      }
      let found = try #require(page)
      result.items += found.content.items
      result.faults += found.content.faults
      result.cursor = found.cursor
      guard found.hasMore else { return result }
    }
    Issue.record("it never ends")
    return result
  }

  static func read(_ name: String, _ body: JSONValue) throws -> [InboundItem] {
    let platform = try #require(PlatformCatalogue.named(name))
    return try platform.normalise(WebhookDelivery(body: body.encoded(), receivedAt: now)).items
  }
}
