import Bytes
import JSON
import Messaging

/// Sends direct messages (https://docs.x.com/x-api/direct-messages/manage/introduction). A picture is
/// uploaded in one go, a video in three; both are then named by their id.
extension XPlatform: SendingPlatform {
  private static let imageBytesMax: Int64 = 5 << 20
  private static let gifBytesMax: Int64 = 15 << 20
  /// What one part of an upload may have: the hub sends files whole.
  private static let partBytesMax: Int64 = 5 << 20
  /// How often a video is asked whether it is ready.
  private static let lookupsMax = 20

  /// The account's own messages are told by the webhook and when polled.
  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(XAPI.tokenField) != nil || Self.canRenew(job.secrets) else {
      return .lacking(XAPI.tokenField)
    }
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    if (message.text ?? "").isEmpty && message.files.isEmpty { return .content("the message is empty") }
    guard let file = message.files.first else { return nil }
    guard message.files.count == 1 else { return .content("a direct message on X has one file") }
    switch Self.category(file) {
    case nil: return .content("X takes pictures, GIF and video/mp4, not \(file.mimeType)")
    case "dm_image":
      return file.sizeBytes > Self.imageBytesMax ? .content("X takes pictures of 5 MB at most") : nil
    default:
      return file.sizeBytes > Self.partBytesMax
        ? .content("videos and GIF of 5 MB at most are sent to X") : nil
    }
  }

  private static func category(_ file: OutboundFile) -> String? {
    switch file.mimeType {
    case "image/gif": "dm_gif"
    case "image/jpeg", "image/png", "image/webp": "dm_image"
    case "video/mp4", "video/quicktime": "dm_video"
    default: nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action else {
      return .impossible(displayName, "\(job.action.name) messages")
    }
    guard let file = message.files.first else { return end(message, nil, job, answers.last) }
    return Self.category(file) == "dm_image"
      ? withImage(file, message, job, answers) : withVideo(file, message, job, answers)
  }

  private func result(
    _ answer: APIAnswer, _ job: SendJob, isRepeatable: Bool = true
  ) -> Result<JSONValue, APIFailure> {
    XAPI.result(
      answer, isRepeatable: isRepeatable, canRenew: Self.canRenew(job.secrets), now: job.now)
  }

  private func call(
    _ path: String, _ job: SendJob, _ body: APIRequest.Body, isRepeatable: Bool = true
  ) -> SendStep {
    .call(
      XAPI.call(
        "POST", path, job.secrets, token: job.token, body: body, timeoutSeconds: 120,
        isRepeatable: isRepeatable))
  }

  // MARK: Files

  private func withImage(
    _ file: OutboundFile, _ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    guard let upload = answers.first else {
      return call(
        "media/upload", job,
        .multipart([
          APIPart("media_category", "dm_image"), APIPart("media_type", file.mimeType),
          APIPart("media", file: 0, filename: file.name, type: file.mimeType),
        ]))
    }
    switch result(upload, job) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      guard let id = json["data"]?["id"]?.identifier else { return noUpload }
      return end(message, id, job, answers.dropFirst().last)
    }
  }

  private var noUpload: SendStep {
    .failed(APIFailure("the upload was answered without an id", .later(seconds: nil)))
  }

  /// Begin, append, finish, wait until it is ready, send.
  private func withVideo(
    _ file: OutboundFile, _ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    guard let first = answers.first else {
      let body: JSONValue = [
        "media_type": .string(file.mimeType), "total_bytes": .integer(file.sizeBytes),
        "media_category": .string(Self.category(file) ?? "dm_video"),
      ]
      return call("media/upload/initialize", job, .json(body))
    }
    guard case .success(let begun) = result(first, job) else { return failed(first, job) }
    guard let id = begun["data"]?["id"]?.identifier else { return noUpload }
    let path = "media/upload/\(APIRequest.element(id))"
    guard answers.count > 1 else {
      return call(
        "\(path)/append", job,
        .multipart([
          APIPart("segment_index", "0"),
          APIPart("media", file: 0, filename: file.name, type: file.mimeType),
        ]))
    }
    guard case .success = result(answers[1], job) else { return failed(answers[1], job) }
    guard answers.count > 2 else { return call("\(path)/finalize", job, .none) }
    return whenReady(id, message, job, Array(answers.dropFirst(2)))
  }

  private func whenReady(
    _ id: String, _ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    for (index, answer) in answers.enumerated() {
      guard case .success(let json) = result(answer, job) else { return failed(answer, job) }
      switch json["data"]?["processing_info"]?["state"]?.string {
      case "failed"?:
        let reason = json["data"]?["processing_info"]?["error"]?["message"]?.string
        return .failed(APIFailure(reason ?? "X could not read the video"))
      case "pending"?, "in_progress"?: continue
      default: return end(message, id, job, answers.dropFirst(index + 1).last)
      }
    }
    guard answers.count <= Self.lookupsMax else {
      return .failed(APIFailure("X is still reading the video", .later(seconds: 30)))
    }
    // X says how long it will take.
    let seconds = answers.last?.json?["data"]?["processing_info"]?["check_after_secs"]?.double
    return .call(
      XAPI.call(
        "GET", "media/upload", job.secrets, token: job.token,
        query: [("command", "STATUS"), ("media_id", id)]
      ).after(seconds: max(seconds ?? 2, 1)))
  }

  private func failed(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    guard case .failure(let failure) = result(answer, job) else { return noUpload }
    return .failed(failure)
  }

  // MARK: The message

  private func end(
    _ message: OutboundMessage, _ media: String?, _ job: SendJob, _ answer: APIAnswer?
  ) -> SendStep {
    guard let answer else {
      var members: [String: JSONValue] = [:]
      members["text"] = message.text.flatMap { $0.isEmpty ? nil : .string($0) }
      members["attachments"] = media.map { [["media_id": .string($0)]] }
      let id = APIRequest.element(job.conversation.externalID)
      // A person's id names the conversation with them; others have ids of their own.
      let isPerson = job.conversation.kind == .direct && id.utf8.allSatisfy { (48...57).contains($0) }
      let path = isPerson ? "dm_conversations/with/\(id)/messages" : "dm_conversations/\(id)/messages"
      return call(path, job, .json(.object(members)), isRepeatable: false)
    }
    switch result(answer, job, isRepeatable: false) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      guard let id = json["data"]?["dm_event_id"]?.identifier else { return .unnamed }
      return .done(SendReceipt(messageID: id))
    }
  }
}
