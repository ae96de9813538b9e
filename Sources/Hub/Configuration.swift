package import HTTPClient

/// Everything that is set from outside, as values. Only the program reads the environment; see
/// `ConfigurationTable` there.
package struct HubConfiguration: Sendable {
  package struct Listen: Sendable {
    /// A numeric address. The loopback by default: what faces the outside is a proxy or a decision.
    package var host = "127.0.0.1"
    package var port: UInt16 = 3000
    /// PEM files; both or none. With them the hub speaks HTTPS and WSS.
    package var certificateFile: String?
    package var keyFile: String?
    /// How the outside reaches the hub, without a slash at the end; nil: http://host:port.
    package var publicURL: String?
    package init() {}
  }

  package struct Limits: Sendable {
    /// The largest webhook body, in bytes.
    package var webhookBytesMax = 10 << 20
    /// The largest REST body, in bytes.
    package var requestBytesMax = 1 << 20
    /// Unsent bytes after which a realtime client is disconnected as slow.
    package var clientQueueBytesMax = 1 << 20
    /// The largest message of a realtime client, in bytes. Reading JSON takes about a microsecond a byte of
    /// its loop, before anybody knows who sent it.
    package var clientMessageBytesMax = 65_536
    /// Connections over all shards; more are answered 503.
    package var connectionsMax = 20_000
    /// Deliveries that may wait for a writer; more are answered 503.
    package var ingestQueueMax = 4_096
    package var ingestQueueBytesMax = 64 << 20
    /// Deliveries committed in one transaction.
    package var groupMax = 256
    /// Missed events that a resuming client is sent; beyond it is told to resync.
    package var resumeEventsMax = 10_000
    /// Client events a second, per connection, with a burst of twice as many.
    package var clientEventsPerSecond = 50
    package init() {}
  }

  package struct Retention: Sendable {
    /// Days that webhook deliveries are kept.
    package var deliveryDays = 30
    /// Days that the user event log is kept.
    package var eventDays = 7
    package init() {}
  }

  /// How the hub reaches others: platforms, storage, servers of key sets.
  package struct Outbound: Sendable {
    package var proxies = ProxySettings()
    /// PEM authorities that are trusted beside the system's.
    package var authorityFile: String?
    package init() {}
  }

  /// Attachments and uploads.
  package struct Files: Sendable {
    package var folder = ".hub/files"
    /// A store of objects in place of the folder.
    package var s3: S3Settings?
    /// The largest file that is fetched or uploaded.
    package var bytesMax = 64 << 20
    /// How long fetching one file may take.
    package var fetchTime: Duration = .seconds(120)
    /// Between two rounds that delete what nobody needs.
    package var keepingInterval: Duration = .seconds(15)
    /// Seconds that an upload waits to be sent.
    package var uploadSeconds = 86_400
    package init() {}
  }

  package var listen = Listen()
  package var files = Files()
  package var outbound = Outbound()
  package var limits = Limits()
  package var retention = Retention()
  /// Development: generated secrets, any origin on localhost.
  package var isDevelopment = true
  /// Origins that browsers may come from.
  package var origins: [String] = ["http://localhost:5173"]
  /// Apps that are made, or given these credentials, at the start.
  package var apps: [ConfiguredApp] = []
  /// Where the public keys of platforms are fetched instead, by the URL of their key set.
  package var keySetMirrors: [String: String] = [:]
  /// Event loops; one per core by default.
  package var shardCount = 1
  /// Seconds between two sweeps of an account that has webhooks.
  package var sweepSeconds = 900
  /// How often accounts are polled, in percent of the usual.
  package var pollingPercent = 100
  var pollingPace: Double { Double(pollingPercent) / 100 }
  /// Whether files that are named by URL may be fetched from this machine and its network. For development.
  package var allowsPrivateAddresses = false
  /// Group-commit writers; accounts are dealt to them by hash.
  package var writerCount = 1
  /// Seconds that a client has to authenticate.
  package var authenticationDeadline: Duration = .seconds(10)
  package var recovery = ConnectionRecovery.asked
  package var pingInterval: Duration = .seconds(25)
  package var pingTimeout: Duration = .seconds(20)
  /// The name of the cookie with a polling session's id; nil: none.
  package var sessionCookie: String?
  /// Read connections per shard.
  package var readConnections = 4
  package init() {}
}
