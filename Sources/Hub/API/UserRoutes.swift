import Bytes
import HTTPServer
import HTTPWire
import JSON

/// The caller: who the token says it is, and the log of its events.
extension RouteTable {
  mutating func addUser() {
    let store = parts.store
    secured(.get, "/api/me") { call in
      let principal = call.principal
      let me: JSONValue = [
        "userId": .string(principal.user), "tenantId": .string(principal.tenant),
        "email": principal.email.map { .string($0) } ?? .null,
        "roles": .array(principal.roles.map { .string($0) }), "expiresAt": .string(principal.expires.rfc3339),
      ]
      return .json(.ok, me.encoded())
    }
    secured(.get, "/api/events") { call in
      let after = try call.number("after") ?? 0
      let limit = try call.limit()
      let bounds = try await store.eventBounds(call.principal)
      let events = try await store.events(call.principal, after: after, limit: limit)
      return .json(.ok, Self.eventList(events, bounds, after: after))
    }
  }

  /// `data` is the object that the push carries, byte for byte.
  static func eventList(_ events: [UserEvent], _ bounds: EventBounds, after: Int64) -> [UInt8] {
    var bytes = Array("{\"items\":[".utf8)
    for (index, event) in events.enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      bytes.append(contentsOf: "{\"seq\":\(event.seq),\"type\":\"\(event.type)\",\"data\":".utf8)
      bytes.append(contentsOf: event.data)
      bytes.append(contentsOf: ",\"timestamp\":\"\(event.at.rfc3339)\"}".utf8)
    }
    // Events may have come between the two readings.
    let last = max(bounds.seq, events.last?.seq ?? 0)
    // Events up to the floor are gone: who asks from before it has to load everything anew.
    bytes.append(contentsOf: "],\"lastSeq\":\(last),\"resyncRequired\":\(after < bounds.floor)}".utf8)
    return bytes
  }
}
