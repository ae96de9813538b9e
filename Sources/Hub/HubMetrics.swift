package import EventLoop
package import HTTPServer
import HTTPWire
import Platforms
package import Postgres
package import SocketIOServer
package import SocketIOWire
import Synchronization
package import Telemetry

/// What became of a webhook request.
package enum IngestOutcome: String, Sendable, CaseIterable {
  case stored, dead, handshake, duplicate, overloaded, unavailable
  case badSignature = "bad_signature"
  case unknownPlatform = "unknown_platform"
  case unknownAccount = "unknown_account"
}

/// What became of a job of the outbox.
package enum SendOutcome: String, Sendable, CaseIterable {
  case sent, later, unknown, failed
}

/// What became of an attempt to fetch a file.
package enum FetchOutcome: String, Sendable, CaseIterable {
  case stored, later, failed
}

/// What one page of a poll held.
package enum PollOutcome: String, Sendable, CaseIterable {
  case found, empty, failed
}

/// The numbers of a node, for Prometheus and for `/health`. From any thread.
///
/// Handles are resolved here, at set-up; an event then costs one atomic. Labels come from small fixed
/// sets: never an id, a path or a text from outside.
package final class HubMetrics: Sendable {
  private struct RouteKey: Hashable {
    let method: String
    let route: String
    let status: Int
  }

  private struct Routes {
    var requests: [RouteKey: Counter] = [:]
    var durations: [String: Histogram] = [:]
  }

  private static let commitBounds: [Double] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
  private static let groupBounds: [Double] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
  private static let eventTypes = [
    "new_message", "message_update", "message_status_update", "unread_count_update", "conversation_update",
    "account_update", "resync_required", "typing", "other",
  ]
  private static let authenticationCodes = [
    "timeout", "invalid_token", "token_expired", "already_authenticating", "user_changed", "suspended",
    "unavailable", "other",
  ]
  private static let otherPlatform = "unknown"

  package let registry: MetricsRegistry

  private let ingest: [String: [IngestOutcome: Counter]]
  private let sends: [String: [SendOutcome: Counter]]
  private let polls: [String: [PollOutcome: Counter]]
  private let fetches: [String: [FetchOutcome: Counter]]
  private let fetchedBytes: Counter
  private let sweepFinds: [String: Gauge]
  private let commitSeconds: Histogram
  private let commitGroup: Histogram
  private let commitFailures: Counter
  private let queue: Gauge
  private let pushes: [String: Counter]
  private let refusals: [String: Counter]
  private let connections: Gauge
  private let connects: Counter
  private let recoveries: Counter
  private let upgrades: Counter
  private let disconnects: [SocketIODisconnectReason: Counter]
  private let slowDisconnects: Counter
  private let clientEvents: Counter
  private let receivedBytes: Counter
  private let sentBytes: Counter
  private let httpConnections: Gauge
  private let httpRequestBytes: Counter
  private let httpResponseBytes: Counter
  private let routes = Mutex(Routes())
  private let samplers = Mutex<[@Sendable () async -> Void]>([])

  package init(registry: MetricsRegistry = MetricsRegistry()) {
    self.registry = registry
    ingest = Self.counters(
      registry, "hub_ingest_requests_total", "Webhook requests by platform and outcome", IngestOutcome.self)
    sends = Self.counters(
      registry, "hub_outbox_attempts_total", "Attempts of outbox jobs by platform and outcome",
      SendOutcome.self)
    polls = Self.counters(
      registry, "hub_poll_pages_total", "Pages polled, by platform and what they held", PollOutcome.self)
    fetches = Self.counters(
      registry, "hub_attachment_fetches_total", "Attempts to fetch files by platform and outcome",
      FetchOutcome.self)
    fetchedBytes = registry.counter(
      "hub_attachment_bytes_total", "Bytes of files that were fetched and stored")
    var sweepFinds: [String: Gauge] = [:]
    for platform in PlatformCatalogue.all.map(\.name.rawValue) {
      sweepFinds[platform] = registry.gauge(
        "hub_recovered_by_sweep_messages", "Messages that webhooks had missed and sweeps have found",
        ["platform": platform])
    }
    self.sweepFinds = sweepFinds
    commitSeconds = registry.histogram(
      "hub_commit_seconds", "Time from sending a group of deliveries to its commit", bounds: Self.commitBounds
    )
    commitGroup = registry.histogram(
      "hub_commit_group_size", "Deliveries committed in one transaction", bounds: Self.groupBounds)
    commitFailures = registry.counter("hub_commit_failures_total", "Groups that were not committed")
    queue = registry.gauge("hub_ingest_queue_deliveries", "Deliveries that wait for a writer")
    pushes = Self.counters(
      registry, "hub_ws_events_total", "Events pushed to a node's clients, by type", "type", Self.eventTypes)
    refusals = Self.counters(
      registry, "hub_ws_authentication_failures_total", "Sessions ended by auth_error", "code",
      Self.authenticationCodes)
    connections = registry.gauge("hub_ws_connections", "Open realtime sessions, of every transport")
    connects = registry.counter("hub_ws_connects_total", "Realtime sessions opened")
    recoveries = registry.counter(
      "hub_ws_recoveries_total", "Sessions that went on by connection state recovery")
    upgrades = registry.counter("hub_ws_upgrades_total", "Sessions that went from polling to WebSocket")
    disconnects = Self.disconnectCounters(registry)
    slowDisconnects = registry.counter(
      "hub_ws_slow_disconnects_total", "Clients disconnected because they did not read what was sent")
    clientEvents = registry.counter("hub_ws_client_events_total", "Events received from clients")
    receivedBytes = registry.counter("hub_ws_received_bytes_total", "Bytes of events from clients")
    sentBytes = registry.counter("hub_ws_sent_bytes_total", "Bytes of frames handed to clients")
    httpConnections = registry.gauge("hub_http_connections", "Open HTTP connections, upgraded ones included")
    httpRequestBytes = registry.counter("hub_http_request_bytes_total", "Bytes of request bodies")
    httpResponseBytes = registry.counter("hub_http_response_bytes_total", "Bytes of response bodies")
  }

  private static func counters<Outcome: CaseIterable & RawRepresentable & Hashable>(
    _ registry: MetricsRegistry, _ name: String, _ help: String, _ outcomes: Outcome.Type
  ) -> [String: [Outcome: Counter]] where Outcome.RawValue == String {
    var counters: [String: [Outcome: Counter]] = [:]
    for platform in PlatformCatalogue.all.map(\.name.rawValue) + [otherPlatform] {
      for outcome in Outcome.allCases {
        counters[platform, default: [:]][outcome] = registry.counter(
          name, help, ["platform": platform, "outcome": outcome.rawValue])
      }
    }
    return counters
  }

  private static func disconnectCounters(
    _ registry: MetricsRegistry
  ) -> [SocketIODisconnectReason: Counter] {
    let reasons: [SocketIODisconnectReason] = [
      .clientDisconnect, .serverDisconnect, .transportClose, .transportError, .pingTimeout, .parseError,
      .serverShutdown, .connectTimeout, .slow,
    ]
    var counters: [SocketIODisconnectReason: Counter] = [:]
    for reason in reasons {
      counters[reason] = registry.counter(
        "hub_ws_disconnects_total", "Realtime sessions ended, by reason", ["reason": reason.rawValue])
    }
    return counters
  }

  private static func counters(
    _ registry: MetricsRegistry, _ name: String, _ help: String, _ label: String, _ values: [String]
  ) -> [String: Counter] {
    var counters: [String: Counter] = [:]
    for value in values {
      // A dictionary literal of one pair: the label's name is a value here.
      counters[value] = registry.counter(name, help, [label: value])
    }
    return counters
  }

  // MARK: Intake

  /// `platform` may be any text from outside.
  package func ingested(_ platform: String, _ outcome: IngestOutcome) {
    (ingest[platform] ?? ingest[Self.otherPlatform])?[outcome]?.add()
  }

  package func sent(_ platform: String, _ outcome: SendOutcome) {
    (sends[platform] ?? sends[Self.otherPlatform])?[outcome]?.add()
  }

  package func recoveredBySweep(_ platform: String, _ count: Int) { sweepFinds[platform]?.set(count) }

  package func polled(_ platform: String, _ outcome: PollOutcome) {
    (polls[platform] ?? polls[Self.otherPlatform])?[outcome]?.add()
  }

  package func fetched(_ platform: String, _ outcome: FetchOutcome, bytes: Int = 0) {
    (fetches[platform] ?? fetches[Self.otherPlatform])?[outcome]?.add()
    if bytes > 0 { fetchedBytes.add(bytes) }
  }

  package func committed(group: Int, seconds: Double) {
    commitSeconds.observe(seconds)
    commitGroup.observe(Double(group))
  }

  package func commitFailed() { commitFailures.add() }

  package func ingestQueue(add count: Int) { queue.add(count) }

  // MARK: Realtime

  package func pushed(_ type: String) { (pushes[type] ?? pushes["other"])?.add() }

  package func authenticationRefused(_ code: String) { (refusals[code] ?? refusals["other"])?.add() }

  package func recovered() { recoveries.add() }

  /// A client of the plain endpoint came; Socket.IO sessions are told by their server.
  package func plainOpened() {
    connections.add(1)
    connects.add()
  }

  /// - Parameter isSlow: it did not read what was sent to it.
  package func plainClosed(isSlow: Bool) {
    connections.add(-1)
    disconnects[isSlow ? .slow : .transportClose]?.add()
    if isSlow { slowDisconnects.add() }
  }

  /// Open realtime sessions, for `/health`.
  package var connectionCount: Int { Int(max(0, connections.value)) }

  // MARK: Sampling

  /// Registers work that refreshes gauges before each scrape, such as a visit to a loop.
  package func beforeScrape(_ sampler: @escaping @Sendable () async -> Void) {
    samplers.withLock { $0.append(sampler) }
  }

  /// The Prometheus text. - Parameter isolation: where the samplers are called from.
  package func scrape() async -> [UInt8] {
    for sampler in samplers.withLock({ $0 }) { await sampler() }
    return registry.exposition()
  }

  /// Shows the state of a shard's database pool. Call with the statistics of one moment.
  package func sample(pool: String, shard: String, _ statistics: PostgresPool.Statistics) {
    let states = [
      ("idle", statistics.idle), ("busy", statistics.busy), ("connecting", statistics.connecting),
    ]
    for (state, count) in states {
      registry.gauge(
        "hub_database_sessions", "Sessions with the database, by pool and state",
        ["pool": pool, "shard": shard, "state": state]
      ).set(count)
    }
    registry.gauge(
      "hub_database_waiting", "Callers that wait for a session", ["pool": pool, "shard": shard]
    ).set(statistics.waiting)
  }

  /// Shows the work of a shard's event loop.
  package func sample(loop: EventLoop.Statistics, shard: String) {
    let totals = [
      ("hub_loop_turns_total", "Turns of an event loop", loop.turns),
      ("hub_loop_jobs_total", "Jobs run by an event loop", loop.jobs),
      ("hub_loop_job_bound_hits_total", "Turns that left jobs for the next one", loop.jobBoundHits),
    ]
    for (name, help, total) in totals {
      let counter = registry.counter(name, help, ["shard": shard])
      counter.add(Int(clamping: total) - Int(clamping: counter.value))
    }
  }
}

extension HubMetrics: SocketIOObserver {
  package func sessionOpened(_ transport: EngineIOSession.Transport) {
    connections.add(1)
    connects.add()
  }

  package func sessionUpgraded() { upgrades.add() }

  package func sessionEnded(_ reason: SocketIODisconnectReason) {
    connections.add(-1)
    disconnects[reason]?.add()
    if reason == .slow { slowDisconnects.add() }
  }

  package func eventReceived(bytes: Int) {
    clientEvents.add()
    receivedBytes.add(bytes)
  }

  package func frameSent(bytes: Int) { sentBytes.add(bytes) }
}

extension HubMetrics: HTTPServerObserver {
  package func connectionOpened() { httpConnections.add(1) }

  package func connectionClosed() { httpConnections.add(-1) }

  package func requestFinished(_ record: HTTPExchangeRecord) {
    let route = record.route ?? "none"
    let key = RouteKey(method: Self.label(record.method), route: route, status: record.status.code)
    let (requests, duration) = routes.withLock { routes in
      (self.requests(key, &routes), self.duration(route, &routes))
    }
    requests.add()
    duration.observe(record.duration.inSeconds)
    httpRequestBytes.add(record.requestBodyBytes)
    httpResponseBytes.add(record.responseBodyBytes)
  }

  private func requests(_ key: RouteKey, _ routes: inout Routes) -> Counter {
    if let known = routes.requests[key] { return known }
    let counter = registry.counter(
      "hub_http_requests_total", "HTTP requests by route and status",
      ["method": key.method, "route": key.route, "status": "\(key.status)"])
    routes.requests[key] = counter
    return counter
  }

  private func duration(_ route: String, _ routes: inout Routes) -> Histogram {
    if let known = routes.durations[route] { return known }
    let histogram = registry.histogram(
      "hub_http_request_seconds", "Time from a complete request head to its queued answer", ["route": route])
    routes.durations[route] = histogram
    return histogram
  }

  /// A method that is none of the usual ones would be a label from outside.
  private static func label(_ method: HTTPMethod?) -> String {
    let known: [HTTPMethod] = [.get, .head, .post, .put, .patch, .delete, .options]
    guard let method else { return "none" }
    return known.contains(method) ? method.name : "other"
  }
}
