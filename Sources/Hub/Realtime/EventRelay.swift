import HTTPServer
package import SocketIOServer
import Synchronization
import WebSocketWire

/// One event on its way to the clients: the row and its frames, encoded once.
///
/// An object, so that thousands of sessions are handed one reference and not a dozen.
package final class RoutedEvent: Sendable {
  package let event: UserEvent
  package let frame: SocketIOFrame
  /// Made when the first client wants it.
  private let offsetFrame: LazyFrame
  /// For the clients of the plain endpoint.
  let plain: SharedMessage

  package init(_ event: UserEvent) {
    self.event = event
    frame = event.socketIOFrame()
    offsetFrame = LazyFrame()
    plain = SharedMessage(.text(event.plainFrame()))
  }

  private init(copying other: RoutedEvent) {
    let event = other.event
    self.event = event
    frame = other.frame.copied()
    offsetFrame = LazyFrame()
    plain = SharedMessage(.text(event.plainFrame()))
  }

  /// The same event in memory of its own. Where two loops hand the same bytes to thousands of sockets, they
  /// would fight over one reference count, which costs more than the bytes do.
  func copied() -> RoutedEvent { RoutedEvent(copying: self) }

  /// For clients with connection state recovery.
  var frameWithOffset: SocketIOFrame { offsetFrame.value { self.event.socketIOFrame(hasOffset: true) } }
}

/// A frame that is made at most once.
private final class LazyFrame: Sendable {
  private let made = Mutex<SocketIOFrame?>(nil)

  func value(_ make: () -> SocketIOFrame) -> SocketIOFrame {
    made.withLock { made in
      if let frame = made { return frame }
      let frame = make()
      made = frame
      return frame
    }
  }
}

/// Carries committed events to the shards that have clients of the user.
///
/// Knows which shard has how many clients of whom, so that an event of a user who is not here costs
/// no encoding and no hop.
package final class EventRelay: Sendable {
  private struct Presence {
    var clients: [UserKey: [Int]] = [:]
  }

  /// Sessions of a user on one shard from which on the shard gets frames of its own.
  private static let crowdSessions = 32

  private let presence = Mutex(Presence())
  private let gateways = Mutex<[RealtimeGateway]>([])

  package init() {}

  /// Set once, before the shards serve.
  package func connect(_ gateways: [RealtimeGateway]) {
    self.gateways.withLock { $0 = gateways }
  }

  /// Users with at least one authenticated client on this node.
  package var userCount: Int { presence.withLock { $0.clients.count } }

  package func users() -> [UserKey] { presence.withLock { Array($0.clients.keys) } }

  package func joined(_ user: UserKey, shard: Int) {
    presence.withLock { presence in
      var counts = presence.clients[user] ?? []
      while counts.count <= shard { counts.append(0) }
      counts[shard] += 1
      presence.clients[user] = counts
    }
  }

  package func left(_ user: UserKey, shard: Int) {
    presence.withLock { presence in
      guard var counts = presence.clients[user], shard < counts.count else { return }
      counts[shard] -= 1
      presence.clients[user] = counts.contains { $0 > 0 } ? counts : nil
    }
  }

  /// Hands events to the users' rooms on this node, in the order given.
  package func publish(_ events: [UserEvent]) {
    guard !events.isEmpty else { return }
    let gateways = gateways.withLock { $0 }
    var batches = [[RoutedEvent]](repeating: [], count: gateways.count)
    let places = presence.withLock { presence in
      events.map { presence.clients[$0.user] }
    }
    for (event, counts) in zip(events, places) {
      guard let counts else { continue }
      let routed = RoutedEvent(event)
      var isTaken = false
      for shard in counts.indices where counts[shard] > 0 && shard < batches.count {
        let isCrowd = counts[shard] >= Self.crowdSessions
        batches[shard].append(isCrowd && isTaken ? routed.copied() : routed)
        isTaken = true
      }
    }
    for (gateway, batch) in zip(gateways, batches) where !batch.isEmpty { gateway.submit(batch) }
  }

  /// Tells the users' clients that another node wrote events up to these numbers.
  package func announce(_ positions: [UserKey: Int64]) {
    let gateways = gateways.withLock { $0 }
    let here = presence.withLock { presence in positions.filter { presence.clients[$0.key] != nil } }
    guard !here.isEmpty else { return }
    for gateway in gateways { gateway.submit(positions: here) }
  }

  /// Sends an event that is not logged (typing) to the users' clients.
  package func broadcast(_ type: String, _ payload: [UInt8], to users: [UserKey], except session: String?) {
    let frame = SocketIOFrame(event: type, json: payload)
    let plain = SharedMessage(.text(PlainFrame.encode(type: type, data: payload)))
    let gateways = gateways.withLock { $0 }
    let here = presence.withLock { presence in users.filter { presence.clients[$0] != nil } }
    guard !here.isEmpty else { return }
    for gateway in gateways {
      gateway.submit(
        ephemeral: Ephemeral(type: type, frame: frame, plain: plain, users: here, except: session))
    }
  }
}

/// An event without a place in the log.
package struct Ephemeral: Sendable {
  package let type: String
  package let frame: SocketIOFrame
  /// For the clients of the plain endpoint.
  let plain: SharedMessage
  package let users: [UserKey]
  /// The session that caused it and does not get it back.
  package let except: String?
}
