import Bytes
import HTTPServer
import HTTPWire
import JSON

/// The ledger of what came in, for operators of the tenant.
extension RouteTable {
  private static let operatorRoles: Set<String> = ["admin", "operator"]

  mutating func addDeliveries() {
    let store = parts.store
    let relay = parts.relay
    let replay = Replay(store: parts.store, keys: parts.keys, ids: parts.ids)
    secured(.get, "/api/deliveries") { call in
      try Self.requireOperator(call.principal)
      let filter = DeliveryFilter(
        tenant: call.principal.tenant, state: try call.choice("state", of: ["done", "dead"]),
        account: try call.id(inQuery: "account"))
      let page = try await store.deliveries(
        filter, behind: try Self.deliveryPosition(call), limit: try call.limit())
      return .json(.ok, JSONDocument.list(page.items.map { $0.json.encoded() }, next: page.next))
    }
    secured(.get, "/api/deliveries/{id}") { call in
      try Self.requireOperator(call.principal)
      return .json(
        .ok, try await store.delivery(try call.id("id"), tenant: call.principal.tenant).json.encoded())
    }
    secured(.post, "/api/deliveries/{id}/replay") { call in
      try Self.requireOperator(call.principal)
      let result = try await replay.run(try call.id("id"), tenant: call.principal.tenant, notify: true)
      relay.publish(result.events)
      return .json(.ok, Self.json(result.outcome).encoded())
    }
  }

  private static func requireOperator(_ principal: Principal) throws(Problem) {
    guard !operatorRoles.isDisjoint(with: principal.roles) else { throw .forbidden }
  }

  private static func deliveryPosition(_ call: APICall) throws(Problem) -> (at: Timestamp, id: UUIDv7)? {
    guard let cursor = try call.cursor() else { return nil }
    guard case .delivery(let at, let id) = cursor else { throw .invalidCursor }
    return (at, id)
  }

  private static func json(_ outcome: Replay.Outcome) -> JSONValue {
    switch outcome {
    case .unchanged: ["outcome": "unchanged"]
    case .done: ["outcome": "done"]
    case .dead(let reason): ["outcome": "dead", "reason": .string(reason)]
    }
  }
}
