/// Where one client stands in its user's event log: the rule that makes "no gap, no double" true.
///
/// A live client gets an event only when it is the next in sequence. Anything else means that
/// something was missed (a lost broadcast, another node's event, two writers crossing), and the log
/// is read from the client's position until it has nothing more. Pure: the gateway reads and sends.
package struct EventCursor: Equatable, Sendable {
  package enum State: Equatable, Sendable {
    /// Sent everything up to `position`.
    case live
    /// The log is being read; `announced` is the highest number published meanwhile.
    case catchingUp(announced: Int64)
  }

  package enum Action: Equatable, Sendable {
    /// Send this event now.
    case send
    /// Already sent, or the running catch-up will find it.
    case ignore
    /// Start reading the log from `position`.
    case catchUp
  }

  /// The last sequence number that the client was sent.
  package private(set) var position: Int64
  package private(set) var state: State

  /// A client whose place is being looked up: what is published meanwhile is only noted.
  package init() {
    position = 0
    state = .catchingUp(announced: 0)
  }

  /// The place is known: the log ends at `seq`, the client has everything up to `lastSeq` (nil: it
  /// starts at the end).
  package mutating func opened(at seq: Int64, lastSeq: Int64?) -> Action {
    var end = seq
    if case .catchingUp(let announced) = state { end = max(seq, announced) }
    position = lastSeq ?? seq
    guard position < end else {
      state = .live
      return .ignore
    }
    state = .catchingUp(announced: end)
    return .catchUp
  }

  /// An event was published.
  package mutating func published(_ seq: Int64) -> Action {
    switch state {
    case .live:
      if seq <= position { return .ignore }
      if seq == position + 1 {
        position = seq
        return .send
      }
      state = .catchingUp(announced: seq)
      return .catchUp
    case .catchingUp(let announced):
      state = .catchingUp(announced: max(announced, seq))
      return .ignore
    }
  }

  /// An event was read from the log. - Returns: whether it is to be sent; false when it was.
  package mutating func read(_ seq: Int64) -> Bool {
    guard seq > position else { return false }
    position = seq
    return true
  }

  /// The log had nothing behind `position` when it was read.
  /// - Returns: true when the client is live now, false when the log has to be read again.
  package mutating func reachedEnd() -> Bool {
    guard case .catchingUp(let announced) = state else { return true }
    guard announced <= position else { return false }
    state = .live
    return true
  }

  /// The client cannot be given what is missing and starts anew at `seq`.
  package mutating func skip(to seq: Int64) {
    position = max(position, seq)
    state = .live
  }

  /// What was announced is not in the log and will not come: retention dropped it, or its node's clock of
  /// numbers was restored. - Returns: the number that the client starts anew at.
  package mutating func giveUp() -> Int64 {
    if case .catchingUp(let announced) = state { position = max(position, announced) }
    state = .live
    return position
  }

  /// Whether the log says that this client has missed something (the slow poll's question).
  package mutating func observed(_ seq: Int64) -> Action {
    guard case .live = state, seq > position else { return .ignore }
    state = .catchingUp(announced: seq)
    return .catchUp
  }
}
