import Bytes
import JSON
import Messaging

/// Reads conversations of a page or an Instagram account
/// (https://developers.facebook.com/docs/messenger-platform/conversations).
///
/// Conversations come with the newest first, each with its last messages; Meta gives no details of older
/// ones. So one page answers for many conversations, and a poll ends where one stands that did not change.
/// The cursor is the moment of the last whole pass, and where this one is.
struct ConversationPoller {
  let isInstagram: Bool

  private static let conversationsMax = 25
  /// Meta gives details of that many messages of a conversation.
  private static let messagesMax = 20
  /// Times are whole seconds, and lists may lag.
  private static let overlapSeconds: Int64 = 120
  private static let cursorBytesMax = 2_048
  /// Between two passes, at least.
  private static let passSeconds: Int64 = 20

  private struct Place {
    var since: Timestamp
    var began: Timestamp
    var after: String?
    /// When the account was first polled, in whole seconds: what is older is no news.
    var begin: Timestamp?
    /// In the modes history and sweep: how it goes on over several passes.
    private let passes: [String: JSONValue]?

    init(_ job: PollJob) {
      let started = job.cursor?["began"]?.integer.map { Timestamp(microseconds: $0) } ?? job.now
      after = job.cursor?["after"]?.string
      began = after == nil ? job.now : started
      switch job.mode {
      case .live:
        since = job.cursor?["since"]?.integer.map { Timestamp(microseconds: $0) } ?? job.start
        begin = job.cursor?["begin"]?.integer.map { Timestamp(seconds: $0) }
        if job.cursor == nil { begin = Timestamp(seconds: job.start.seconds) }
      case .history(let time), .sweep(let time): since = HistoryPass.from(job) ?? time
      }
      passes = job.mode == .live ? nil : HistoryPass.members(of: job)
    }

    func cursor(after next: String?) -> JSONValue {
      var members = start
      guard let next else {
        members["since"] = .integer(began.microseconds)
        return .object(members)
      }
      members["began"] = .integer(began.microseconds)
      members["after"] = .string(next)
      return .object(members)
    }

    /// This pass from its beginning.
    var start: [String: JSONValue] {
      if let passes { return passes }
      var members: [String: JSONValue] = ["since": .integer(since.microseconds)]
      members["begin"] = begin.map { .integer($0.seconds) }
      return members
    }
  }

  func poll(_ job: PollJob, after answers: [APIAnswer], account: String) -> PollStep {
    let place = Place(job)
    guard let answer = answers.last else {
      if job.mode == .live && job.cursor == nil { return .page(PollPage(cursor: .object(place.start))) }
      if place.after == nil, let cursor = job.cursor,
        job.isSoon(after: place.since.seconds, seconds: Self.passSeconds)
      {
        return .page(PollPage(cursor: cursor))
      }
      return .call(request(job, place, account))
    }
    switch MetaAPI.result(answer, isRepeatable: true, now: job.now) {
    case .failure(let failure):
      // A place in a list that has changed too much: the pass begins anew.
      if place.after != nil && failure.remedy == .none {
        return .page(PollPage(cursor: .object(place.start), hasMore: job.mode != .live))
      }
      return .failed(failure)
    case .success(let result):
      guard let conversations = result["data"]?.array else {
        return .failed(APIFailure("the answer is no list of conversations", .later(seconds: nil)))
      }
      return .page(page(conversations, result, place, job, account))
    }
  }

  private func request(_ job: PollJob, _ place: Place, _ account: String) -> APIRequest {
    let messages =
      "messages.limit(\(Self.messagesMax)){id,created_time,from,to,message,attachments"
      + (isInstagram ? "}" : ",sticker}")
    let owner = isInstagram ? "me" : APIRequest.element(account)
    return MetaAPI.call(
      "GET", "\(owner)/conversations", job.secrets,
      query: [
        ("platform", isInstagram ? "instagram" : "messenger"), ("fields", "id,updated_time," + messages),
        ("limit", String(Self.conversationsMax)), ("after", place.after),
      ], timeoutSeconds: 60)
  }

  // MARK: Reading

  private func page(
    _ conversations: [JSONValue], _ result: JSONValue, _ place: Place, _ job: PollJob, _ account: String
  ) -> PollPage {
    let overlap = Timestamp(seconds: place.since.seconds - Self.overlapSeconds)
    let from = max(overlap, place.begin ?? .earliest)
    let oldest = job.mode.limit ?? from
    var events: [JSONValue] = []
    var isPast = false
    for conversation in conversations {
      if let time = Self.time(conversation["updated_time"]), time < from { isPast = true }
      for message in conversation["messages"]?["data"]?.array ?? [] {
        guard let event = event(message, account) else { continue }
        if let time = Self.time(message["created_time"]), time < oldest { continue }
        events.append(event)
      }
    }
    // Oldest first, as webhooks tell it.
    let entry: JSONValue = ["id": .string(account), "messaging": .array(events.reversed())]
    let delivery = WebhookDelivery(
      body: JSONValue.object(["entry": [entry]]).encoded(), receivedAt: job.now, secrets: job.secrets)
    var content = Normalised()
    do throws(NormaliseError) {
      let read = try MessengerEvent.read(delivery, platform: isInstagram ? "instagram" : "messenger")
      content = Normalised(items: read.items, faults: read.faults)
    } catch {
      content.faults.append(error)
    }
    let hasNext = result["paging"]?["next"]?.string != nil
    let next = hasNext && !isPast ? result["paging"]?["cursors"]?["after"]?.string : nil
    let after = next.flatMap { $0.utf8.count <= Self.cursorBytesMax && $0 != place.after ? $0 : nil }
    guard job.mode != .live else {
      return PollPage(content, cursor: place.cursor(after: after), hasMore: after != nil)
    }
    var members = HistoryPass.members(of: job)
    members["after"] = after.map { .string($0) }
    let hasMore = HistoryPass.turn(
      &members, isLast: after == nil, now: job.now, overlapSeconds: Self.overlapSeconds)
    return PollPage(content, cursor: .object(members), hasMore: hasMore)
  }

  /// A message as a webhook would tell of it.
  private func event(_ message: JSONValue, _ account: String) -> JSONValue? {
    guard let id = message["id"]?.identifier, let from = message["from"]?["id"]?.identifier else {
      return nil
    }
    let to = message["to"]?["data"]?[0]?["id"]?.identifier ?? account
    var content: [String: JSONValue] = ["mid": .string(id)]
    content["text"] = message["message"]?.string.map { .string($0) }
    if from == account { content["is_echo"] = true }
    var files = (message["attachments"]?["data"]?.array ?? []).compactMap(Self.attachment)
    if let url = message["sticker"]?.string {
      files.append(["type": "sticker", "payload": ["url": .string(url), "sticker_id": .string(url)]])
    }
    if !files.isEmpty { content["attachments"] = .array(files) }
    var members: [String: JSONValue] = [
      "sender": ["id": .string(from)], "recipient": ["id": .string(to)], "message": .object(content),
    ]
    if let time = Self.time(message["created_time"]) {
      members["timestamp"] = .integer(time.seconds * 1_000)
    }
    return .object(members)
  }

  private static func attachment(_ file: JSONValue) -> JSONValue? {
    for (member, type) in [("image_data", "image"), ("video_data", "video")] {
      guard let url = file[member]?["url"]?.string else { continue }
      return ["type": .string(type), "payload": ["url": .string(url)]]
    }
    let isAudio = file["mime_type"]?.string?.hasPrefix("audio/") ?? false
    var payload: [String: JSONValue] = [:]
    payload["url"] = file["file_url"]
    payload["title"] = file["name"]
    guard payload["url"]?.string != nil else { return nil }
    return ["type": isAudio ? "audio" : "file", "payload": .object(payload)]
  }

  /// `2026-11-20T23:59:58+0000`, or seconds since 1970.
  private static func time(_ value: JSONValue?) -> Timestamp? {
    if let seconds = value?.integer { return Timestamp(seconds: seconds).clamped }
    guard var text = value?.string, text.utf8.count <= 40 else { return nil }
    if let seconds = Int64(text) { return Timestamp(seconds: seconds).clamped }
    if text.hasSuffix("+0000") { text = text.dropLast(5) + "Z" }
    return Timestamp(rfc3339: text)?.clamped
  }
}

extension MessengerPlatform: PollingPlatform {
  private static let poller = ConversationPoller(isInstagram: false)

  var polling: PollingPlan { ConversationPoller.plan }

  func canPoll(_ secrets: AccountSecrets) -> Bool {
    secrets.first(MetaAPI.tokenField) != nil && secrets.first(Self.pageField) != nil
  }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    Self.poller.poll(job, after: answers, account: Self.page(job.secrets, job.account))
  }

  /// The token knows the page where nobody else does.
  static func page(_ secrets: AccountSecrets, _ account: String?) -> String {
    secrets.first(pageField) ?? account ?? "me"
  }
}

extension ConversationPoller {
  /// Webhooks tell everything; what they missed is read from time to time.
  static let plan = PollingPlan(role: .sweep, intervalMin: 30, intervalMax: 600, hasHistory: true)
}
