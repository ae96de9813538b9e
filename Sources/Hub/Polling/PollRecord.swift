import Bytes
import JSON
import Messaging
import Platforms
import Security

/// A poll as a line of the ledger: what was asked with, and the answers; or a mail as it was fetched. Reading
/// it again gives the same items.
enum PollRecord {
  private static let modeHeader = "hub-poll"
  private static let cursorHeader = "hub-poll-cursor"
  private static let sinceHeader = "hub-poll-since"

  /// The body and the headers of the line.
  static func line(_ job: PollJob, _ source: FoundPage.Source) -> (body: [UInt8], headers: JSONValue) {
    switch source {
    case .answers(let answers): line(job, answers)
    case .mail(let mail): (mail.bytes, mail.headers.json)
    }
  }

  private static func line(
    _ job: PollJob, _ answers: [APIAnswer]
  ) -> (body: [UInt8], headers: JSONValue) {
    let body = JSONValue.array(answers.map(document)).encoded()
    var headers: [String: JSONValue] = [:]
    switch job.mode {
    case .live: headers[modeHeader] = "live"
    case .history(let limit):
      headers[modeHeader] = "history"
      headers[sinceHeader] = .string(limit.rfc3339)
    case .sweep(let since):
      headers[modeHeader] = "sweep"
      headers[sinceHeader] = .string(since.rfc3339)
    }
    headers[cursorHeader] = job.cursor.map { .string(String(decoding: $0.encoded(), as: UTF8.self)) }
    return (body, .object(headers))
  }

  /// nil: the line is a webhook or a mail.
  static func job(
    _ headers: KeptHeaders, secrets: AccountSecrets, account: String?, receivedAt: Timestamp
  ) -> PollJob? {
    guard let name = headers[modeHeader] else { return nil }
    let since = headers[sinceHeader].flatMap { Timestamp(rfc3339: $0) } ?? receivedAt
    let mode: PollJob.Mode =
      switch name {
      case "history": .history(notBefore: since)
      case "sweep": .sweep(since: since)
      default: .live
      }
    let cursor = headers[cursorHeader].flatMap { try? JSONValue(parsing: $0.utf8) }
    return PollJob(
      mode: mode, cursor: cursor, account: account, secrets: secrets, now: receivedAt, pace: .infinity)
  }

  static func answers(_ body: [UInt8]) -> [APIAnswer] {
    ((try? JSONValue(parsing: body))?.array ?? []).map { entry in
      let text = entry["body"]?.string.map { Array($0.utf8) }
      let bytes = entry["base64"]?.string.flatMap { Base64.decode($0) }
      return APIAnswer(status: Int(entry["status"]?.integer ?? 200), body: text ?? bytes ?? [])
    }
  }

  private static func document(_ answer: APIAnswer) -> JSONValue {
    let status = JSONValue.integer(Int64(answer.status))
    guard let text = String(validating: answer.body, as: UTF8.self), !text.utf8.contains(0) else {
      return ["status": status, "base64": .string(Base64.encode(answer.body))]
    }
    return ["status": status, "body": .string(text)]
  }
}
