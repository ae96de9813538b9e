import EventLoop
package import Telemetry

/// Says how an account is, when that changes: its users are told what to do.
package struct AccountStates: Sendable {
  package enum State: String, Sendable {
    case connected
    case transientError = "transient_error"
    case badCredentials = "bad_credentials"
  }

  package let store: HubStore
  package let relay: EventRelay
  package let log: Logger

  /// A state that is there already changes nothing. An account that was disabled stays so.
  package func set(_ account: Account, _ state: State, reason: String?, action: String?) async {
    do {
      relay.publish(
        try await store.setAccountState(account, state: state.rawValue, reason: reason, action: action))
    } catch {
      log.warning(
        "an account's state cannot be written",
        ["account": .string("\(account.id)"), "error": .string("\(error)")])
    }
  }
}
