package import EventLoop
package import HTTPServer
package import HTTPWire
import JSON
import Postgres
package import Security
import Synchronization
package import Telemetry

/// The HTTP side of the hub, one per shard: REST under `/api`, the webhooks' doors, and what operators
/// look at. Socket.IO and `/ws` are routed before it.
///
/// Every answer carries a request id; every error is a problem (RFC 9457) with a stable code. JSON
/// documents come from the database as bytes and are passed on as they are.
package struct HubAPI: Sendable {
  package struct Parts: Sendable {
    package let configuration: HubConfiguration
    package let loop: EventLoop
    package let store: HubStore
    package let tokens: TokenAuthority
    package let keys: KeyRing
    package let receiver: WebhookReceiver
    package let writers: [IngestWriter]
    package let outbox: Outbox
    package let files: FileServing
    package let relay: EventRelay
    package let directory: AccountDirectory
    package let ids: IDSource
    package let clock: WallClock
    package let metrics: HubMetrics
    package let status: NodeStatus
    package let log: Logger
    package let cors: CORSPolicy

    package init(
      configuration: HubConfiguration, loop: EventLoop, store: HubStore, tokens: TokenAuthority,
      keys: KeyRing,
      receiver: WebhookReceiver, writers: [IngestWriter], outbox: Outbox, files: FileServing,
      relay: EventRelay, directory: AccountDirectory,
      ids: IDSource, clock: WallClock, metrics: HubMetrics, status: NodeStatus, log: Logger, cors: CORSPolicy
    ) {
      self.configuration = configuration
      self.loop = loop
      self.store = store
      self.tokens = tokens
      self.keys = keys
      self.receiver = receiver
      self.writers = writers
      self.outbox = outbox
      self.files = files
      self.relay = relay
      self.directory = directory
      self.ids = ids
      self.clock = clock
      self.metrics = metrics
      self.status = status
      self.log = log
      self.cors = cors
    }
  }

  private let parts: Parts
  private let router: Router<RequestID>

  package init(_ parts: Parts) {
    self.parts = parts
    let probe = DatabaseProbe(parts.store.reader, on: parts.loop)
    let users = KnownUsers()
    var routes = RouteTable(parts: parts, users: users)
    routes.addOperations(probe)
    routes.addWebhooks()
    routes.addConversations()
    routes.addMessages()
    routes.addAttachments()
    routes.addAccounts()
    routes.addApps()
    routes.addUser()
    routes.addDeliveries()
    router = routes.router()
  }

  /// The body limit of a request, in bytes, from its head alone.
  package func bodyBytesMax(_ head: HTTPRequestHead) -> Int { router.bodyBytesMax(head) }

  /// The route's pattern, for metrics; nil: there is none.
  package func label(_ head: HTTPRequestHead) -> String? { router.label(head) }

  /// Answers one request. On the shard's loop.
  package func handle(_ request: HTTPRequest) async -> HTTPAnswer {
    let id =
      request.headers["x-request-id"].flatMap { RequestID(header: $0) }
      ?? RequestID(random: .random(in: .min ... .max))
    let start = LoopInstant.current()
    let answer: HTTPAnswer
    if let preflight = parts.cors.preflight(for: request.head) {
      answer = .response(preflight)
    } else {
      answer = await self.answer(request, id)
    }
    logAccess(request, answer, id, since: start)
    return finish(answer, request, id)
  }

  /// One line for a request: the route and not the path, which holds ids and account keys. What comes
  /// in great numbers and went well is for debugging only.
  private func logAccess(
    _ request: HTTPRequest, _ answer: HTTPAnswer, _ id: RequestID, since start: LoopInstant
  ) {
    guard let response = answer.head else { return }
    let isQuiet = response.status.code < 400 && !request.path.hasPrefix("/api")
    parts.log.log(
      isQuiet ? .debug : .info, "request", event: "http.request",
      [
        "request_id": .string(id.description), "method": .string(request.method.name),
        "route": .string(router.label(request.head) ?? "none"),
        "status": .integer(Int64(response.status.code)),
        "seconds": .number((LoopInstant.current() - start).inSeconds),
      ])
  }

  private func answer(_ request: HTTPRequest, _ id: RequestID) async -> HTTPAnswer {
    switch router.match(request.head) {
    case .found(let route, let parameters):
      return await route.handler(request, parameters, id)
    case .methodNotAllowed where request.method == .options, .notFound where request.head.rawPath == "*":
      return await router.answer(request, id)
    case .methodNotAllowed(let allowed, _):
      var response = Problem.methodNotAllowed.response(requestID: id.description)
      response.headers.set("Allow", allowed.map(\.name).joined(separator: ", "))
      return .response(response)
    case .notFound:
      return .response(Problem.notFound("there is nothing at this path").response(requestID: id.description))
    }
  }

  private func finish(_ answer: HTTPAnswer, _ request: HTTPRequest, _ id: RequestID) -> HTTPAnswer {
    guard var response = answer.head else { return answer }
    response.headers.set("X-Request-Id", id.description)
    for field in parts.cors.headers(for: request.head).fields
    where !response.headers.all(field.name).contains(field.value) {
      response.headers.add(field.name, field.value)
    }
    if request.path.hasPrefix("/api") && !response.headers.contains("cache-control") {
      response.headers.set("Cache-Control", "no-store")
    }
    if case .stream(_, let body) = answer { return .stream(response, body) }
    return .response(response)
  }
}

extension HTTPAnswer {
  /// Status and fields; nil: the connection becomes something else.
  fileprivate var head: HTTPResponse? {
    switch self {
    case .response(let response), .stream(let response, _): response
    case .upgrade: nil
    }
  }
}

/// Users whose rows are known to be there and whose tenants were active a moment ago, so that a request
/// does not ask again. A suspension holds after `lifetime`. Bounded: when it is full it begins anew.
final class KnownUsers: Sendable {
  static let lifetime: Duration = .seconds(10)
  private static let max = 10_000

  private let users = Mutex<[Principal.Identity: LoopInstant]>([:])

  func contains(_ principal: Principal, now: LoopInstant) -> Bool {
    users.withLock { users in users[Principal.Identity(principal)].map { $0 > now } ?? false }
  }

  func insert(_ principal: Principal, now: LoopInstant) {
    users.withLock { users in
      if users.count >= Self.max { users = [:] }
      users[Principal.Identity(principal)] = now + Self.lifetime
    }
  }
}

extension Principal {
  /// What `openUser` writes: a token that says something else about the user opens the user again.
  struct Identity: Hashable, Sendable {
    private let key: UserKey
    private let email: String?
    private let roles: [String]

    init(_ principal: Principal) {
      key = principal.key
      email = principal.email
      roles = principal.roles
    }
  }
}
