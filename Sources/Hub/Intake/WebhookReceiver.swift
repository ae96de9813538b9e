import Bytes
package import EventLoop
package import HTTPWire
import JSON
import Messaging
import Platforms
import Security
package import Telemetry

/// Takes webhooks in: finds the account, verifies over the raw bytes, reads the whole batch, commits,
/// and only then answers the platform.
///
/// What has been verified is never answered 4xx for its content. What cannot be read is stored as a
/// dead delivery with its reason. When nothing can be stored the answer is 503 with Retry-After, so
/// that the platform sends it again.
package struct WebhookReceiver: Sendable {
  /// Reading takes about a microsecond a byte: a larger body is read beside the loop.
  private static let largeBytes = 65_536
  /// What waits for it is bounded by the bodies that the HTTP server holds at once.
  private static let readers = BlockingPool(threads: 1)

  /// What any platform uses.
  package static let methods: [HTTPMethod] = [.post, .get, .put]

  package let store: HubStore
  package let baseURL: String
  package let keySets: KeySetStore
  package let directory: AccountDirectory
  package let writers: [IngestWriter]
  package let relay: EventRelay
  package let ids: IDSource
  package let clock: WallClock
  package let metrics: HubMetrics
  package let log: Logger

  package init(
    store: HubStore, baseURL: String, keySets: KeySetStore, directory: AccountDirectory,
    writers: [IngestWriter], relay: EventRelay,
    ids: IDSource, clock: WallClock, metrics: HubMetrics, log: Logger
  ) {
    self.store = store
    self.baseURL = baseURL
    self.keySets = keySets
    self.directory = directory
    self.writers = writers
    self.relay = relay
    self.ids = ids
    self.clock = clock
    self.metrics = metrics
    self.log = log
  }

  /// Answers one webhook request.
  /// - Parameters:
  ///   - key: the account's, from the path; nil: the URL of an app, whose accounts the payload names.
  ///   - subpath: what the platform put behind the account's URL.
  package func receive(
    _ request: HTTPRequest, platform name: String, key: String?, subpath: String, now: LoopInstant
  ) async -> HTTPResponse {
    guard let platform = PlatformCatalogue.named(name) else {
      return refuse("unknown", .unknownPlatform)
    }
    guard platform.methods.contains(request.method.name) else {
      return Self.methodNotAllowed(platform.methods)
    }
    let owners: [Account]
    do {
      owners = try await self.owners(platform, key, now: now)
    } catch {
      return unavailable(name)
    }
    guard !owners.isEmpty else { return refuse(name, .unknownAccount) }
    let webhook = WebhookRequest(request, baseURL: baseURL, subpath: subpath)
    let received = clock.now()
    var reasons: [String] = []
    for owner in owners {
      switch await verdict(webhook, owner, platform, received: received) {
      case .answer(let answer):
        metrics.ingested(name, .handshake)
        return HTTPResponse(answer)
      case .accepted(let answer):
        return await store(webhook, owner, platform, received: received, answer: answer, now: now)
      case .refused(let reason): reasons.append(reason)
      case .needsKeys: return unavailable(name)
      }
    }
    log.info(
      "webhook refused",
      [
        "platform": .string(name), "account": .string(key == nil ? "app" : "\(owners[0].id)"),
        "reason": .string(reasons.first ?? ""),
      ])
    let problem = refuse(name, .badSignature)
    return platform.refusal.map { HTTPResponse($0) } ?? problem
  }

  /// Whose credentials a request may be signed with.
  private func owners(
    _ platform: any Platform, _ key: String?, now: LoopInstant
  ) async throws -> [Account] {
    guard let key else { return try await directory.apps(platform.name, store: store, now: now) }
    let account = try await directory.account(key, store: store, now: now)
    return account.flatMap { $0.platform == platform.name ? [$0] : nil } ?? []
  }

  /// `.needsKeys`: they cannot be had now.
  private func verdict(
    _ request: WebhookRequest, _ owner: Account, _ platform: any Platform, received: Timestamp
  ) async -> WebhookVerdict {
    let first = platform.receive(
      request, WebhookContext(secrets: owner.secrets, now: received, keySets: keySets.cached(at: received)))
    guard case .needsKeys(let url) = first else { return first }
    guard await keySets.refresh(url, now: received) else { return first }
    let second = platform.receive(
      request, WebhookContext(secrets: owner.secrets, now: received, keySets: keySets.cached(at: received)))
    guard case .needsKeys = second else { return second }
    return .refused(reason: "it is signed by a key that \(url) does not have")
  }

  private func store(
    _ request: WebhookRequest, _ owner: Account, _ platform: any Platform, received: Timestamp,
    answer: WebhookAnswer, now: LoopInstant
  ) async -> HTTPResponse {
    let name = platform.name.rawValue
    let id = ids.next()
    let read: @Sendable () -> ReadDelivery = {
      DeliveryReader.read(id: id, request: request, owner: owner, platform: platform, received: received)
    }
    do {
      let reading = request.content.count > Self.largeBytes ? try await Self.readers.run(read) : read()
      var accounts: [String: Account] = [:]
      for account in reading.otherAccounts {
        accounts[account] = try await directory.account(
          tenant: owner.tenant, platform: platform.name, externalID: account, store: store, now: now)
      }
      let deliveries = reading.dealt(to: accounts, ids: ids)
      for delivery in deliveries {
        try await IngestWriter.writer(for: delivery.account, among: writers).commit(delivery)
      }
      for delivery in deliveries { await finish(delivery, name) }
    } catch IngestWriter.Refusal.overloaded {
      metrics.ingested(name, .overloaded)
      return Problem.overloaded.response()
    } catch {
      return unavailable(name)
    }
    return HTTPResponse(answer)
  }

  /// After the commit.
  private func finish(_ delivery: ParsedDelivery, _ name: String) async {
    if case .dead(let reason) = delivery.outcome {
      metrics.ingested(name, .dead)
      log.warning(
        "delivery kept as dead",
        ["platform": .string(name), "delivery": .string("\(delivery.id)"), "reason": .string(reason)])
    } else {
      metrics.ingested(name, .stored)
    }
    await announceTyping(delivery)
  }

  /// Typing is passed on and not stored.
  private func announceTyping(_ delivery: ParsedDelivery) async {
    for case .typing(let typing) in delivery.items {
      guard
        let target = try? await store.typingTarget(
          tenant: delivery.tenant, account: delivery.account, conversation: typing.conversation.externalID)
      else { continue }
      let payload: JSONValue = [
        "conversationId": .string("\(target.conversation)"),
        "sender": ["id": .string(typing.sender.id), "name": typing.sender.name.map { .string($0) } ?? .null],
        "isTyping": .bool(typing.isTyping),
        "timestamp": .string(clock.now().rfc3339),
      ]
      relay.broadcast("typing", payload.encoded(), to: target.users, except: nil)
    }
  }

  private func unavailable(_ platform: String) -> HTTPResponse {
    metrics.ingested(platform, .unavailable)
    return Problem.unavailable.response()
  }

  private static func methodNotAllowed(_ methods: [String]) -> HTTPResponse {
    var response = Problem.methodNotAllowed.response()
    response.headers.set("allow", methods.joined(separator: ", "))
    return response
  }

  private func refuse(_ platform: String, _ outcome: IngestOutcome) -> HTTPResponse {
    metrics.ingested(platform, outcome)
    switch outcome {
    case .badSignature: return Problem.badSignature.response()
    case .unknownPlatform: return Problem.notFound("there is no platform of this name").response()
    default: return Problem.notFound("no account has this webhook address").response()
    }
  }
}
