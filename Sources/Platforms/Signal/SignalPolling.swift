import Bytes
import JSON
import Messaging

/// Asks signal-cli-rest-api in its modes `normal` and `native`, or listens to signal-cli's own daemon. What
/// they give out they forget, and in the mode `json-rpc` the first pushes instead: so only where it is asked
/// for.
extension SignalPlatform: PollingPlatform {
  private static let pageMax = 100
  /// Seconds that signal-cli waits for one more message before it answers.
  private static let waitSeconds = 2

  var polling: PollingPlan {
    PollingPlan(role: .alternative, intervalMin: 1, intervalMax: 20, givesOnce: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { SignalAPI.canCall(secrets) }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    guard job.mode == .live else { return .page(PollPage(cursor: [:])) }
    let listens = SignalDaemon.isUsed(job.secrets)
    guard let answer = answers.last else {
      return listens ? .listen(SignalDaemon.events(job.secrets)) : .call(request(job))
    }
    guard answer.isSuccess else {
      return .failed(Self.failure(answer, isDaemon: listens, now: job.now))
    }
    let page = Self.content(answer, job, isDaemon: listens)
    return .page(
      PollPage(
        page.content, cursor: job.cursor ?? [:], hasMore: listens || page.count >= Self.pageMax))
  }

  private func request(_ job: PollJob) -> APIRequest {
    SignalAPI.call(
      "GET", SignalAPI.path("/v1/receive", job.secrets), job.secrets,
      query: [
        ("timeout", "\(Self.waitSeconds)"), ("max_messages", "\(Self.pageMax)"),
        ("send_read_receipts", "false"),
      ])
  }

  private static func failure(_ answer: APIAnswer, isDaemon: Bool, now: Timestamp) -> APIFailure {
    if isDaemon, answer.status == 400 {
      let action = "register or link the account's number with signal-cli"
      return APIFailure("the daemon does not know the account", .credentials(action: action))
    }
    // A WebSocket stands at the address, and its handshake was not what came.
    if answer.status == 400, answer.json == nil {
      let action =
        "run signal-cli-rest-api in the mode native or normal, or switch the account's polling off"
      return APIFailure("the interface pushes and cannot be asked", .credentials(action: action))
    }
    return SignalAPI.failure(answer, isRepeatable: true, now: now)
  }

  /// An answer that cannot be read is kept with the page: it will not come again.
  private static func content(
    _ answer: APIAnswer, _ job: PollJob, isDaemon: Bool
  ) -> (content: Normalised, count: Int) {
    guard let entries = answer.storable?.array else { return (Normalised(faults: [.notJSON]), 0) }
    var content = Normalised()
    for (index, entry) in entries.enumerated() {
      content.read { () throws(NormaliseError) in
        let path = "[\(index)]"
        let envelope = isDaemon ? try said(entry, path) : entry
        guard let members = envelope.object else {
          throw .wrongType(path: path, expected: "an object")
        }
        return try items(JSONReader(members, path: path), secrets: job.secrets, receivedAt: job.now)
      }
    }
    return (content, entries.count)
  }

  /// An event's data, which is a document of its own.
  private static func said(_ event: JSONValue, _ path: String) throws(NormaliseError) -> JSONValue {
    guard let text = event["data"]?.string else { throw .missing(path: "\(path).data") }
    guard let value = try? JSONValue(parsing: text.utf8) else {
      throw .wrongType(path: "\(path).data", expected: "JSON")
    }
    return JSONReader.withoutNull(value)
  }
}
