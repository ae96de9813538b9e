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

  package let store: HubStore
  package let directory: AccountDirectory
  package let writers: [IngestWriter]
  package let relay: EventRelay
  package let ids: IDSource
  package let clock: WallClock
  package let metrics: HubMetrics
  package let log: Logger

  package init(
    store: HubStore, directory: AccountDirectory, writers: [IngestWriter], relay: EventRelay,
    ids: IDSource, clock: WallClock, metrics: HubMetrics, log: Logger
  ) {
    self.store = store
    self.directory = directory
    self.writers = writers
    self.relay = relay
    self.ids = ids
    self.clock = clock
    self.metrics = metrics
    self.log = log
  }

  /// Answers one webhook request. `platform` and `key` come from the path.
  package func receive(
    _ request: HTTPRequest, platform name: String, key: String, now: LoopInstant
  ) async -> HTTPResponse {
    guard let platform = PlatformCatalogue.named(name) else {
      return refuse("unknown", .unknownPlatform)
    }
    let account: Account?
    do {
      account = try await directory.account(key, store: store, now: now)
    } catch {
      return unavailable(name)
    }
    guard let account, account.platform == platform.name else { return refuse(name, .unknownAccount) }
    let received = clock.now()
    let webhook = WebhookRequest(request)
    switch platform.receive(webhook, secrets: account.secrets, now: received) {
    case .answer(let answer):
      metrics.ingested(name, .handshake)
      return HTTPResponse(answer)
    case .refused(let reason):
      log.info(
        "webhook refused",
        ["platform": .string(name), "account": .string("\(account.id)"), "reason": .string(reason)])
      return refuse(name, .badSignature)
    case .accepted(_, let answer):
      return await store(webhook, account, platform, received: received, answer: answer)
    }
  }

  private func store(
    _ request: WebhookRequest, _ account: Account, _ platform: any Platform, received: Timestamp,
    answer: WebhookAnswer
  ) async -> HTTPResponse {
    let name = platform.name.rawValue
    let id = ids.next()
    let read: @Sendable () -> ParsedDelivery = {
      DeliveryReader.read(id: id, request: request, account: account, platform: platform, received: received)
    }
    let delivery: ParsedDelivery
    do {
      delivery = request.body.count > Self.largeBytes ? try await Self.readers.run(read) : read()
      try await writer(for: account.id).commit(delivery)
    } catch IngestWriter.Refusal.overloaded {
      metrics.ingested(name, .overloaded)
      return Problem.overloaded.response()
    } catch {
      return unavailable(name)
    }
    if case .dead(let reason) = delivery.outcome {
      metrics.ingested(name, .dead)
      log.warning(
        "delivery kept as dead",
        ["platform": .string(name), "delivery": .string("\(delivery.id)"), "reason": .string(reason)])
    } else {
      metrics.ingested(name, .stored)
    }
    await announceTyping(delivery.items, account)
    return HTTPResponse(answer)
  }

  /// One account always goes to the same writer: its order is kept and no two writers meet on its rows.
  private func writer(for account: UUIDv7) -> IngestWriter {
    var hash: UInt32 = 2_166_136_261
    for byte in account.bytes { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    return writers[Int(hash) % writers.count]
  }

  /// Typing is passed on and not stored.
  private func announceTyping(_ items: [InboundItem], _ account: Account) async {
    for case .typing(let typing) in items {
      guard
        let target = try? await store.typingTarget(
          tenant: account.tenant, account: account.id, conversation: typing.conversation.externalID)
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

  private func refuse(_ platform: String, _ outcome: IngestOutcome) -> HTTPResponse {
    metrics.ingested(platform, outcome)
    switch outcome {
    case .badSignature: return Problem.badSignature.response()
    case .unknownPlatform: return Problem.notFound("there is no platform of this name").response()
    default: return Problem.notFound("no account has this webhook address").response()
    }
  }
}
