package import EventLoop

extension HTTPClient {
  /// What a client may use.
  package struct Configuration: Sendable {
    /// Authorities and rules for https; one for the process, because it holds every authority in memory.
    package var tls: TLSContext
    package var proxies = ProxySettings()
    package var userAgent: String
    /// Connections of one origin for exchanges; more wait.
    package var connectionsPerOriginMax = 8
    /// Connections of one origin for long polls and streams; more wait.
    package var longLivedPerOriginMax = 4_096
    package var connectionsMax = 8_192
    /// Requests that wait for a connection of one origin; one more gets `queueFull`.
    package var waitersPerOriginMax = 1_024
    /// How long a request waits for a connection at most.
    package var waitMax: Duration = .seconds(10)
    /// From the first packet to the end of the TLS handshake.
    package var connectMax: Duration = .seconds(10)
    /// For one address of a name that has more of them.
    package var connectAttemptMax: Duration = .seconds(3)
    /// How long a connection is kept without use.
    package var idleMax: Duration = .seconds(30)
    package var idleConnectionsMax = 64
    /// How long the addresses of a name are kept, for requests to anywhere; `publicOnly` asks each time.
    package var nameCacheLifetime: Duration = .seconds(5)

    package init(tls: TLSContext, userAgent: String = "messaging-hub") {
      self.tls = tls
      self.userAgent = userAgent
    }
  }

  /// For tests and metrics.
  package struct Statistics: Sendable, Equatable {
    /// In use, idle and being opened.
    package var connections: Int
    package var idle: Int
    package var waiting: Int
    package var running: Int
  }
}
