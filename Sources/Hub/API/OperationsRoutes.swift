import Bytes
import EventLoop
import HTTPServer
import HTTPWire
import JSON
import Postgres
import Telemetry

/// What operators and their machines look at, and the webhooks' doors.
extension RouteTable {
  /// `/health`, `/livez`, `/readyz`, `/metrics` and a word of welcome. None of them needs a token and
  /// none says anything of a user.
  mutating func addOperations(_ probe: DatabaseProbe) {
    let parts = parts
    sampleBeforeScrape()
    open(.get, "/") { _, _, _ in
      .text(.ok, "messaging-hub\n\nREST: /api  Socket.IO: /socket.io/  WebSocket: /ws\n")
    }
    open(.get, "/livez") { _, _, _ in .text(.ok, "ok\n") }
    open(.get, "/health") { _, _, _ in
      let isConnected = await probe.isConnected()
      return .json(
        isConnected ? .ok : .serviceUnavailable, Self.health(parts, isConnected: isConnected).encoded(),
        headers: ["Cache-Control": "no-store"])
    }
    open(.get, "/readyz") { _, _, id in
      guard let reason = await Self.reasonNotReady(parts, probe) else { return .text(.ok, "ready\n") }
      return Problem(503, "not_ready", "The hub is not ready", detail: reason, retryAfterSeconds: 1)
        .response(requestID: id.description)
    }
    open(.get, "/metrics") { _, _, _ in
      .bytes(.ok, await parts.metrics.scrape(), type: MetricsRegistry.contentType)
    }
  }

  private static func health(_ parts: HubAPI.Parts, isConnected: Bool) -> JSONValue {
    [
      "status": isConnected ? "ok" : "error",
      "timestamp": .string(parts.clock.now().rfc3339),
      "services": [
        "database": isConnected ? "connected" : "disconnected",
        "redis": "disabled",
        "websocket": [
          "status": parts.status.current == .draining ? "draining" : "active",
          "connections": .integer(Int64(parts.metrics.connectionCount)),
          "authenticatedUsers": .integer(Int64(parts.relay.userCount)),
        ],
      ],
    ]
  }

  private static func reasonNotReady(_ parts: HubAPI.Parts, _ probe: DatabaseProbe) async -> String? {
    switch parts.status.current {
    // Migrations are applied before the doors open, so a hub that answers has them.
    case .starting: return "the hub is starting"
    case .draining: return "the hub is stopping"
    case .ready: return await probe.isConnected() ? nil : "the database does not answer"
    }
  }

  /// Pools and loops are read on their own loop, just before the numbers are shown.
  private func sampleBeforeScrape() {
    let metrics = parts.metrics
    let store = parts.store
    let loop = parts.loop
    let shard = loop.name
    let relay = parts.relay
    metrics.registry.sampledGauge(
      "hub_authenticated_users", "Users with an authenticated client on this node"
    ) { Double(relay.userCount) }
    metrics.beforeScrape {
      // The shard is named: a closure that ignores it would leave the loop.
      await loop.shard.run { home in
        home.assertIsolated()
        metrics.sample(pool: "reader", shard: shard, store.reader.statistics)
        metrics.sample(pool: "writer", shard: shard, store.writer.statistics)
        metrics.sample(loop: loop.statistics, shard: shard)
      }
    }
  }

  /// `/webhooks/{platform}/{accountKey}` for one account, `/webhooks/{platform}` for all accounts of an
  /// app: no token, the platform's signature is the proof. Some platforms put a path behind the URL.
  mutating func addWebhooks() {
    let receiver = parts.receiver
    let loop = parts.loop
    let bodyBytesMax = parts.configuration.limits.webhookBytesMax
    for pattern in [
      "/webhooks/{platform}", "/webhooks/{platform}/{accountKey}",
      "/webhooks/{platform}/{accountKey}/{subpath...}",
    ] {
      for method in WebhookReceiver.methods {
        open(method, pattern, bodyBytesMax: bodyBytesMax) { request, parameters, _ in
          await receiver.receive(
            request, platform: parameters["platform"] ?? "", key: parameters["accountKey"],
            subpath: parameters["subpath"].map { "/\($0)" } ?? "", now: loop.now)
        }
      }
    }
  }
}
