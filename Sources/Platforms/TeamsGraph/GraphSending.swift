import Bytes
import JSON
import Messaging

/// Writes as the user, into chats, and into channels whose team a message named
/// (https://learn.microsoft.com/graph/api/chatmessage-post). Graph knows no key of the sender's; what was
/// sent comes back as a notification or by polling.
///
/// Pictures go within the message, other files through the user's OneDrive, readable by the organisation.
extension TeamsGraphPlatform: SendingPlatform {
  private static let filesMax = 10
  private static let imageBytesMax: Int64 = 3 << 20
  private static let folder = "Microsoft Teams Chat Files"

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard GraphAPI.hasUser(job.secrets) else { return .lacking(GraphAPI.refreshField) }
    if case .read = action {
      for field in [Self.userField, Self.tenantField] where job.secrets.first(field) == nil {
        return .lacking(field)
      }
    }
    guard GraphRoom(job) != nil else {
      return .content("no message has named the team of this channel yet")
    }
    switch action {
    case .message(let message): return refusal(of: message)
    case .read where GraphRoom(job)?.isChannel == true:
      return SendRefusal(.notSupported, "Graph marks chats as read, and no channels")
    case .typing: return .oneWay(displayName, action)
    default: return nil
    }
  }

  private func refusal(of message: OutboundMessage) -> SendRefusal? {
    if message.files.count > Self.filesMax {
      return .content("a message has \(Self.filesMax) files at most")
    }
    let images = message.files.filter { $0.kind == .image }
    if images.reduce(0, { $0 &+ $1.sizeBytes }) > Self.imageBytesMax {
      return .content("Graph takes \(Self.imageBytesMax >> 20) MB of pictures in one message")
    }
    let extras = ["html", "attachments"].contains { message.extras?[$0] != nil }
    return (message.text ?? "").isEmpty && message.files.isEmpty && !extras
      ? .content("the message is empty") : nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if let answer = answers.last, !answer.isSuccess {
      if case .delete = job.action, answer.status == 404 { return .done(SendReceipt()) }
      let isUpload = Self.uploads(job.action).count * 2 >= answers.count
      return .failed(
        GraphAPI.failure(answer, isRepeatable: isUpload || isRepeatable(job.action), now: job.now))
    }
    guard let room = GraphRoom(job) else { return .impossible(displayName, "find this channel") }
    guard case .message(let message) = job.action else {
      guard answers.isEmpty else { return .done(SendReceipt()) }
      return change(room, job).map { .call($0) } ?? .impossible(displayName, "\(job.action.name) messages")
    }
    return send(message, room, job, answers)
  }

  // MARK: Changes

  private func change(_ room: GraphRoom, _ job: SendJob) -> APIRequest? {
    func call(_ method: String, _ path: String, _ body: JSONValue?) -> APIRequest {
      GraphAPI.call(
        method, path, job.secrets, token: job.token, body: body.map { .json($0) } ?? .none,
        isRepeatable: true)
    }
    switch job.action {
    case .edit(let edit):
      return call(
        "PATCH", room.message(edit.messageID, in: job.subjectThreadID),
        ["body": ["contentType": "text", "content": .string(edit.text)]])
    case .delete(let id):
      let path = room.message(id, in: job.subjectThreadID) + "/softDelete"
      return call("POST", room.isChannel ? path : "me/" + path, nil)
    case .react(let id, let emoji, let isSet):
      return call(
        "POST",
        room.message(id, in: job.subjectThreadID) + (isSet ? "/setReaction" : "/unsetReaction"),
        ["reactionType": .string(emoji)])
    case .read:
      let user: JSONValue = [
        "id": .string(job.secrets.first(Self.userField) ?? ""),
        "tenantId": .string(job.secrets.first(Self.tenantField) ?? ""),
      ]
      return call("POST", room.path + "/markChatReadForUser", ["user": user])
    case .message, .typing: return nil
    }
  }

  // MARK: Messages

  /// What goes through OneDrive, by its place among the files.
  private static func uploads(_ action: OutboundAction) -> [Int] {
    guard case .message(let message) = action else { return [] }
    return message.files.indices.filter { message.files[$0].kind != .image }
  }

  /// Each file is stored and then shared, two calls; the message comes last.
  private func send(
    _ message: OutboundMessage, _ room: GraphRoom, _ job: SendJob, _ answers: [APIAnswer]
  ) -> SendStep {
    var rest = answers[...]
    var stored: [JSONValue] = []
    for index in Self.uploads(job.action) {
      guard let item = rest.popFirst() else { return .call(upload(message.files[index], index, job)) }
      guard let id = item.json?["id"]?.string, let reference = Self.reference(item.json) else {
        return .failed(.unreadable("stored file"))
      }
      guard rest.popFirst() != nil else { return .call(shared(id, job)) }
      stored.append(reference)
    }
    guard let answer = rest.last else { return .call(request(message, stored, room, job)) }
    guard let id = answer.json?["id"]?.string else { return .unnamed }
    let time = answer.json?["createdDateTime"]?.string.flatMap { Timestamp(rfc3339: $0) }
    return .done(SendReceipt(messageID: id, sentAt: time?.clamped, order: Int64(id)))
  }

  /// Under the job's key, so that the same call again is the same file.
  private func upload(_ file: OutboundFile, _ index: Int, _ job: SendJob) -> APIRequest {
    let path = [Self.folder, job.key, "\(index)", file.name].map { APIRequest.element($0) }
    return GraphAPI.call(
      "PUT", "me/drive/root:/\(path.joined(separator: "/")):/content", job.secrets, token: job.token,
      body: .file(index, type: file.mimeType), timeoutSeconds: 120)
  }

  private func shared(_ item: String, _ job: SendJob) -> APIRequest {
    GraphAPI.call(
      "POST", "me/drive/items/\(APIRequest.element(item))/createLink", job.secrets, token: job.token,
      body: .json(["type": "view", "scope": "organization"]), isRepeatable: true)
  }

  /// An attachment is named by the GUID in the file's `eTag`: `"{C0FFEE00-...},1"`.
  private static func reference(_ item: JSONValue?) -> JSONValue? {
    guard let tag = item?["eTag"]?.string, let start = tag.firstIndex(of: "{"),
      let end = tag[start...].firstIndex(of: "}"), let url = item?["webUrl"]?.string,
      let name = item?["name"]?.string
    else { return nil }
    let id = String(tag[tag.index(after: start)..<end]).lowercased()
    return [
      "id": .string(id), "contentType": "reference", "contentUrl": .string(url), "name": .string(name),
    ]
  }

  private func request(
    _ message: OutboundMessage, _ stored: [JSONValue], _ room: GraphRoom, _ job: SendJob
  ) -> APIRequest {
    var attachments = stored + (message.extras?["attachments"]?.array ?? [])
    if let quoted = message.replyTo, !room.isChannel { attachments.insert(Self.quote(quoted), at: 0) }
    let images = message.files.indices.filter { message.files[$0].kind == .image }
    var members: [String: JSONValue] = [
      "body": Self.body(message, attachments.compactMap { $0["id"]?.string }, images: images.count)
    ]
    if !attachments.isEmpty { members["attachments"] = .array(attachments) }
    for name in ["mentions", "importance", "subject"] { members[name] = message.extras?[name] }
    var places: [APIFilePlace] = []
    if !images.isEmpty {
      members["hostedContents"] = .array(
        images.enumerated().map { number, index in
          places.append(APIFilePlace(["hostedContents", "\(number)", "contentBytes"], file: index))
          return [
            "@microsoft.graph.temporaryId": .string("\(number + 1)"), "contentBytes": "",
            "contentType": .string(message.files[index].mimeType),
          ]
        })
    }
    let document = JSONValue.object(members)
    return GraphAPI.call(
      "POST", room.messages(thread: message.threadID ?? message.replyThreadID ?? message.replyTo),
      job.secrets, token: job.token,
      body: places.isEmpty ? .json(document) : .jsonWithFiles(document, places), timeoutSeconds: 60)
  }

  private static func quote(_ id: String) -> JSONValue {
    let content: JSONValue = ["messageId": .string(id), "messagePreview": ""]
    return [
      "id": .string(id), "contentType": "messageReference",
      "content": .string(String(decoding: content.encoded(), as: UTF8.self)),
    ]
  }

  /// Attachments and pictures have a place in HTML; a text alone needs none.
  private static func body(_ message: OutboundMessage, _ attachments: [String], images: Int) -> JSONValue {
    let given = message.extras?["html"]?.string
    guard given != nil || !attachments.isEmpty || images > 0 else {
      return ["contentType": "text", "content": .string(message.text ?? "")]
    }
    var html = attachments.map { "<attachment id=\"\(escaped($0))\"></attachment>" }.joined()
    html += given ?? escaped(message.text ?? "").replacing("\n", with: "<br>")
    for number in 0..<images { html += "<img src=\"../hostedContents/\(number + 1)/$value\">" }
    return ["contentType": "html", "content": .string(html)]
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }
}

/// Where a conversation is: a chat, or a channel of a team.
struct GraphRoom {
  let path: String
  let isChannel: Bool

  /// nil: it is a channel, and its team is not known.
  init?(_ job: SendJob) {
    let id = job.conversation.externalID
    isChannel = id.hasSuffix("@thread.tacv2") || id.hasSuffix("@thread.skype")
    guard isChannel else {
      path = "chats/\(APIRequest.element(id))"
      return
    }
    guard let team = job.lastInboundDetails?["teamId"]?.string else { return nil }
    path = "teams/\(APIRequest.element(team))/channels/\(APIRequest.element(id))"
  }

  func message(_ id: String) -> String { "\(path)/messages/\(APIRequest.element(id))" }

  /// An answer in a channel is found under the first message of its thread only.
  func message(_ id: String, in thread: String?) -> String {
    guard isChannel, let thread, thread != id else { return message(id) }
    return message(thread) + "/replies/\(APIRequest.element(id))"
  }

  /// Where a new message goes: chats have no threads.
  func messages(thread: String?) -> String {
    guard isChannel, let thread else { return "\(path)/messages" }
    return message(thread) + "/replies"
  }
}
