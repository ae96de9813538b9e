/// What libpq's pipeline mode will answer next, and to whom it belongs.
///
/// Work is sent in stretches: some steps (a prepare or an execute each), then a sync. PostgreSQL runs a
/// stretch as one implicit transaction. An error makes it skip the rest of the stretch; the next
/// stretch, sent long before perhaps, is untouched. libpq gives results strictly in order: for each step
/// one result and one end, and one sync at the end of the stretch.
///
/// Pure: events in, actions out, no libpq (PostgreSQL manual, section 34.5).
struct PipelineStateMachine: Sendable, Equatable {
  /// The number that the owner gave a stretch.
  typealias StretchID = UInt64

  /// What `PQgetResult` returned.
  enum Reply: Sendable, Equatable {
    /// Rows, or a command's tag.
    case result
    case failed
    /// PGRES_PIPELINE_ABORTED: skipped, because an earlier step of the stretch failed.
    case skipped
    /// PGRES_PIPELINE_SYNC.
    case sync
    /// A null pointer: the step's results are complete.
    case end
  }

  enum Action: Sendable, Equatable {
    case nothing
    /// The result is the answer to this step.
    case deliver(StretchID, step: Int)
    case fail(StretchID, step: Int)
    case skip(StretchID, step: Int)
    /// The stretch is over; it committed when `committed`.
    case finish(StretchID, committed: Bool)
    /// PostgreSQL is now working on this stretch, whose cancelling was asked earlier: cancel now.
    case finishAndCancel(StretchID, committed: Bool, next: StretchID)
    /// The order of replies makes no sense: close the connection.
    case breakOff(String)
  }

  enum CancelAction: Sendable, Equatable {
    /// PostgreSQL works on it now: send a cancel request.
    case cancelNow
    /// It waits behind others; a request sent now would hit one of those.
    case cancelLater
    case unknown
  }

  private struct Stretch: Sendable, Equatable {
    let id: StretchID
    let steps: Int
    var isCancelAsked = false
  }

  /// How far the first stretch has come.
  private enum Phase: Sendable, Equatable {
    /// Waits for the result of this step (all steps done: for the sync).
    case result(step: Int)
    /// Has the result of this step and waits for its end.
    case end(step: Int, failed: Bool)
    /// A step failed: skipped steps follow until the sync.
    case skipping(step: Int)
    case skippingEnd(step: Int)
    case broken
  }

  private var stretches: [Stretch] = []
  private var head = 0
  private var phase: Phase = .result(step: 0)

  /// Nothing is awaited. libpq's results must not be read then: a null pointer would mean nothing.
  var isIdle: Bool { inFlight == 0 || phase == .broken }
  var isBroken: Bool { phase == .broken }
  /// Stretches sent and not yet synced.
  var inFlight: Int { stretches.count - head }

  /// A stretch of this many steps, and its sync, were handed to libpq.
  mutating func sent(_ id: StretchID, steps: Int) {
    stretches.append(Stretch(id: id, steps: steps))
  }

  mutating func received(_ reply: Reply) -> Action {
    guard head < stretches.count else { return breakOff("a reply while nothing was asked") }
    let stretch = stretches[head]
    switch (phase, reply) {
    case (.result(let step), .result) where step < stretch.steps:
      phase = .end(step: step, failed: false)
      return .deliver(stretch.id, step: step)
    case (.result(let step), .failed) where step < stretch.steps:
      phase = .end(step: step, failed: true)
      return .fail(stretch.id, step: step)
    case (.result(let step), .failed) where step == stretch.steps:
      // A constraint checked at commit fails at the sync, after every step had its result.
      phase = .end(step: step, failed: true)
      return .fail(stretch.id, step: step)
    case (.end(let step, let failed), .end):
      phase = failed ? .skipping(step: step + 1) : .result(step: step + 1)
      return .nothing
    case (.end(let step, false), .failed):
      // An error while rows were being sent: libpq gives it after the rows.
      phase = .end(step: step, failed: true)
      return .fail(stretch.id, step: step)
    case (.skipping(let step), .skipped) where step < stretch.steps:
      phase = .skippingEnd(step: step)
      return .skip(stretch.id, step: step)
    case (.skippingEnd(let step), .end):
      phase = .skipping(step: step + 1)
      return .nothing
    case (.result(let step), .sync) where step == stretch.steps:
      return finish(stretch, committed: true)
    case (.skipping(let step), .sync) where step >= stretch.steps:
      return finish(stretch, committed: false)
    case (.end(let step, true), .sync) where step == stretch.steps:
      return finish(stretch, committed: false)
    default:
      return breakOff("\(reply) in \(phase) of a stretch of \(stretch.steps) steps")
    }
  }

  /// The owner wants this stretch to stop.
  mutating func cancelAsked(_ id: StretchID) -> CancelAction {
    guard phase != .broken,
      let index = stretches[head...].firstIndex(where: { $0.id == id })
    else { return .unknown }
    if index == head { return .cancelNow }
    stretches[index].isCancelAsked = true
    return .cancelLater
  }

  /// The connection is gone.
  /// - Returns: the stretches that will never be answered, in order.
  mutating func closed() -> [StretchID] {
    defer {
      stretches = []
      head = 0
      phase = .broken
    }
    return stretches[head...].map(\.id)
  }

  private mutating func finish(_ stretch: Stretch, committed: Bool) -> Action {
    phase = .result(step: 0)
    head += 1
    if head == stretches.count {
      stretches.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 256 {
      stretches.removeFirst(head)
      head = 0
    }
    if head < stretches.count, stretches[head].isCancelAsked {
      return .finishAndCancel(stretch.id, committed: committed, next: stretches[head].id)
    }
    return .finish(stretch.id, committed: committed)
  }

  private mutating func breakOff(_ reason: String) -> Action {
    phase = .broken
    return .breakOff(reason)
  }
}
