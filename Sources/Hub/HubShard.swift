import Bytes
package import EventLoop
import HTTPServer
import HTTPWire
import SocketIOServer
import Synchronization

/// One event loop's share of the hub: its listener, its HTTP server, its Socket.IO server, its
/// gateway, its database connections. Nothing in here is touched by another thread.
package final class HubShard: Sendable {
  package struct Parts: Sendable {
    let index: Int
    let loop: EventLoop
    let node: HubNode.Parts
    let store: HubStore
    let writers: [IngestWriter]
    let relay: EventRelay
    let directory: AccountDirectory
    let ids: IDSource
    let metrics: HubMetrics
    let status: NodeStatus
    let tls: TLSContext?
  }

  private static let tick: Duration = .milliseconds(250)

  package let gateway: RealtimeGateway
  private let parts: Parts
  private let socketIO: SocketIOServer
  private let http: HTTPServer
  private let siblings: Mutex<[HubShard]>
  private let listener = Mutex<Listener?>(nil)

  package var loop: EventLoop { parts.loop }
  package var address: SocketAddress? { listener.withLock { $0?.address } }

  init(_ parts: Parts) {
    self.parts = parts
    let configuration = parts.node.configuration
    gateway = RealtimeGateway(
      loop: parts.loop, index: parts.index,
      dependencies: RealtimeGateway.Dependencies(
        configuration: configuration, store: parts.store, tokens: parts.node.tokens, relay: parts.relay,
        metrics: parts.metrics, log: parts.node.log, clock: parts.node.clock))
    siblings = Mutex([])
    fatalError("filled in when the servers are there")
  }

  func connect(siblings: [HubShard]) {
    self.siblings.withLock { $0 = siblings }
  }

  func listen(on address: SocketAddress) async throws -> SocketAddress { address }

  func stop(within limit: Duration) async {}
}
