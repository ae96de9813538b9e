import Bytes
import JSON
import Messaging

/// Long polling (https://core.telegram.org/bots/api#getupdates). It excludes the webhook. The cursor is the
/// next update's number; asking with it confirms what came before, so it is stored first.
extension TelegramPlatform: PollingPlatform {
  private static let pageMax = 100
  private static let waitSeconds = 50

  var polling: PollingPlan {
    PollingPlan(role: .alternative, intervalMin: 1, intervalMax: 60, isLongPoll: true)
  }

  func canPoll(_ secrets: AccountSecrets) -> Bool { secrets.first(TelegramAPI.tokenField) != nil }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    guard let answer = answers.last else { return .call(updates(job)) }
    switch TelegramAPI.result(answer, isRepeatable: true, now: job.now) {
    case .failure(let failure): return .failed(failure)
    case .success:
      guard let updates = answer.storable?["result"]?.array else {
        return .failed(APIFailure("the answer is no list of updates", .later(seconds: nil)))
      }
      return .page(page(updates, job))
    }
  }

  private func updates(_ job: PollJob) -> APIRequest {
    var members: [String: JSONValue] = [
      "limit": .integer(Int64(Self.pageMax)), "timeout": .integer(Int64(Self.waitSeconds)),
      "allowed_updates": .array(TelegramUpdate.requested.map { .string($0) }),
    ]
    members["offset"] = job.cursor?["offset"]
    var request = TelegramAPI.call("getUpdates", .object(members), job.secrets, isRepeatable: true)
    request.timeoutSeconds = Self.waitSeconds + 15
    request.isLongLived = true
    return request
  }

  private func page(_ updates: [JSONValue], _ job: PollJob) -> PollPage {
    var content = Normalised()
    var offset = job.cursor?["offset"]?.integer
    for (index, update) in updates.enumerated() {
      if let id = update["update_id"]?.integer { offset = max(offset ?? .min, id + 1) }
      do throws(NormaliseError) {
        guard let members = update.object else {
          throw .wrongType(path: "result[\(index)]", expected: "an object")
        }
        content.add(try TelegramUpdate(JSONReader(members), receivedAt: job.now).items())
      } catch {
        content.faults.append(error)
      }
    }
    let cursor: JSONValue = offset.map { ["offset": .integer($0)] } ?? job.cursor ?? [:]
    return PollPage(content, cursor: cursor, hasMore: updates.count >= Self.pageMax)
  }
}
