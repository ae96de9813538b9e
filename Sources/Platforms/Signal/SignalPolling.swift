import Bytes
import JSON
import Messaging

/// Asks signal-cli-rest-api in its modes `normal` and `native`. What it gives out it forgets, and in the mode
/// `json-rpc` it pushes instead: so only where it is asked for.
extension SignalPlatform: PollingPlatform {
  private static let pageMax = 100
  /// Seconds that signal-cli waits for one more message before it answers.
  private static let waitSeconds = 2

  var polling: PollingPlan { PollingPlan(role: .alternative, intervalMin: 1, intervalMax: 20) }

  func canPoll(_ secrets: AccountSecrets) -> Bool { SignalAPI.canCall(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    guard job.mode == .live else { return .page(PollPage(cursor: [:])) }
    guard let answer = answers.last else { return .call(request(job)) }
    guard answer.isSuccess else { return .failed(Self.failure(answer, now: job.now)) }
    let page = Self.content(answer, job)
    return .page(PollPage(page.content, cursor: job.cursor ?? [:], hasMore: page.count >= Self.pageMax))
  }

  private func request(_ job: PollJob) -> APIRequest {
    SignalAPI.call(
      "GET", SignalAPI.path("/v1/receive", job.secrets), job.secrets,
      query: [
        ("timeout", "\(Self.waitSeconds)"), ("max_messages", "\(Self.pageMax)"),
        ("send_read_receipts", "false"),
      ])
  }

  private static func failure(_ answer: APIAnswer, now: Timestamp) -> APIFailure {
    // A WebSocket stands at the address, and its handshake was not what came.
    if answer.status == 400, answer.json == nil {
      let action =
        "run signal-cli-rest-api in the mode native or normal, or switch the account's polling off"
      return APIFailure("the interface pushes and cannot be asked", .credentials(action: action))
    }
    return SignalAPI.failure(answer, isRepeatable: true, now: now)
  }

  /// An answer that cannot be read is kept with the page: it will not come again.
  private static func content(_ answer: APIAnswer, _ job: PollJob) -> (content: Normalised, count: Int) {
    guard let entries = answer.storable?.array else { return (Normalised(faults: [.notJSON]), 0) }
    var content = Normalised()
    for (index, entry) in entries.enumerated() {
      content.read { () throws(NormaliseError) in
        guard let members = entry.object else {
          throw .wrongType(path: "[\(index)]", expected: "an object")
        }
        return try items(
          JSONReader(members, path: "[\(index)]"), secrets: job.secrets, receivedAt: job.now)
      }
    }
    return (content, entries.count)
  }
}
