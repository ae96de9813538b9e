import Bytes
import JSON
import Messaging

/// Writes into rooms. A call has the job's key for its transaction id, so the homeserver does it once.
///
/// A reaction is an event of its own: to take it back its id is looked up among the message's annotations,
/// and that event is redacted.
extension MatrixPlatform: SendingPlatform {
  /// An event has 65,536 bytes at most, with what the homeserver adds.
  private static let textBytesMax = 60_000
  private static let annotationPagesMax = 10
  private static let typingMilliseconds: Int64 = 30_000

  var echoes: Bool { true }

  func isRepeatable(_ action: OutboundAction) -> Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    if let fault = MatrixAPI.fault(in: job.secrets) { return fault }
    switch action {
    case .message(let message): return refusal(of: message)
    case .edit(let edit) where edit.text.utf8.count > Self.textBytesMax / 2: return Self.tooLong
    default: return nil
    }
  }

  private static let tooLong = SendRefusal(
    .textTooLong, "Matrix takes \(textBytesMax) bytes of text at most, half of it in an edit")

  private func refusal(of message: OutboundMessage) -> SendRefusal? {
    if (message.text?.utf8.count ?? 0) > Self.textBytesMax { return Self.tooLong }
    if message.files.count > 1 { return SendRefusal(.invalidContent, "an event has one file") }
    if message.kind == .location, MatrixContent.geoURI(message.extras?["location"]) == nil {
      return SendRefusal(.invalidContent, "a location needs platform.location {latitude, longitude}")
    }
    if message.kind == .sticker, message.files.isEmpty {
      return SendRefusal(.invalidContent, "a sticker needs a file")
    }
    return nil
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    if let answer = answers.last, !answer.isSuccess { return refused(answer, job) }
    switch job.action {
    case .message(let message): return said(message, job, answers)
    case .edit(let edit):
      guard let answer = answers.last else {
        return .call(send("m.room.message", MatrixContent.edit(edit), job))
      }
      return done(answer, names: false)
    case .delete(let id):
      return answers.isEmpty ? .call(redact(id, job)) : .done(SendReceipt())
    case .react(let id, let emoji, let isSet):
      return isSet ? react(id, emoji, job, answers) : unreact(id, emoji, job, answers)
    case .read(let id):
      guard answers.isEmpty else { return .done(SendReceipt()) }
      let path = MatrixAPI.room(
        job.conversation.externalID, "receipt/m.read/\(APIRequest.element(id))")
      return .call(MatrixAPI.call("POST", path, job.secrets, body: .json([:])))
    case .typing(let isTyping): return typing(isTyping, job, answers)
    }
  }

  /// Some refusals say that all is as it should be.
  private func refused(_ answer: APIAnswer, _ job: SendJob) -> SendStep {
    if case .react(_, _, true) = job.action, answer.json?["errcode"] == "M_DUPLICATE_ANNOTATION" {
      return .done(SendReceipt())
    }
    return .failed(MatrixAPI.failure(answer, now: job.now))
  }

  /// - Parameter names: whether the event is a message of its own.
  private func done(_ answer: APIAnswer, names: Bool) -> SendStep {
    guard let id = answer.json?["event_id"]?.string else { return .failed(.unreadable("event's id")) }
    return .done(SendReceipt(messageID: names ? id : nil))
  }

  private func said(_ message: OutboundMessage, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    let type = message.kind == .sticker ? "m.sticker" : "m.room.message"
    guard let file = message.files.first else {
      guard let answer = answers.last else {
        return .call(send(type, MatrixContent.outbound(message), job))
      }
      return done(answer, names: true)
    }
    switch answers.count {
    case 0: return .call(upload(file, job))
    case 1:
      guard let uri = answers[0].json?["content_uri"]?.string, uri.hasPrefix("mxc://") else {
        return .failed(.unreadable("address of a file"))
      }
      return .call(send(type, MatrixContent.outbound(message, file: (file, uri)), job))
    default: return done(answers[1], names: true)
    }
  }

  private func upload(_ file: OutboundFile, _ job: SendJob) -> APIRequest {
    var request = MatrixAPI.call(
      "POST", "media/v3/upload", job.secrets, query: [("filename", file.name)],
      body: .file(0, type: file.mimeType))
    request.timeoutSeconds = 120
    return request
  }

  private func send(_ type: String, _ content: JSONValue, _ job: SendJob) -> APIRequest {
    let path = MatrixAPI.room(job.conversation.externalID, "send/\(type)/\(APIRequest.element(job.key))")
    return MatrixAPI.call("PUT", path, job.secrets, body: .json(content))
  }

  private func redact(_ id: String, _ job: SendJob) -> APIRequest {
    let path = MatrixAPI.room(
      job.conversation.externalID, "redact/\(APIRequest.element(id))/\(APIRequest.element(job.key))")
    return MatrixAPI.call("PUT", path, job.secrets, body: .json([:]))
  }

  // MARK: Reactions

  private func react(_ id: String, _ emoji: String, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else {
      let relation: JSONValue = [
        "rel_type": "m.annotation", "event_id": .string(id), "key": .string(emoji),
      ]
      return .call(send("m.reaction", ["m.relates_to": relation], job))
    }
    return done(answer, names: false)
  }

  /// Who acts (unless it is known), then pages of annotations until the own one is among them, then its
  /// redaction.
  private func unreact(_ id: String, _ emoji: String, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    var rest = answers[...]
    let known = MatrixAPI.user(job.secrets, account: job.account)
    if known == nil, rest.isEmpty { return .call(MatrixAPI.whoami(job.secrets)) }
    guard let user = known ?? rest.popFirst()?.json?["user_id"]?.string else {
      return .failed(.unreadable("user's id"))
    }
    var from: String?
    for _ in 0..<Self.annotationPagesMax {
      guard let page = rest.popFirst() else { return .call(annotations(id, from: from, job)) }
      let own = (page.json?["chunk"]?.array ?? []).first { event in
        event["sender"]?.string == user
          && Self.isSame(event["content"]?["m.relates_to"]?["key"]?.string, emoji)
      }
      if let found = own?["event_id"]?.string {
        return rest.isEmpty ? .call(redact(found, job)) : .done(SendReceipt())
      }
      from = page.json?["next_batch"]?.string
      if from == nil { return .done(SendReceipt()) }
    }
    return .failed(APIFailure("the message has too many reactions to find the own one"))
  }

  private func annotations(_ id: String, from: String?, _ job: SendJob) -> APIRequest {
    let room = APIRequest.element(job.conversation.externalID)
    return MatrixAPI.call(
      "GET", "client/v1/rooms/\(room)/relations/\(APIRequest.element(id))/m.annotation/m.reaction",
      job.secrets, query: [("limit", "100"), ("from", from)])
  }

  /// Clients differ in whether they ask for the coloured form of a sign.
  private static func isSame(_ key: String?, _ emoji: String) -> Bool {
    func plain(_ text: String) -> [Unicode.Scalar] { text.unicodeScalars.filter { $0.value != 0xfe0f } }
    return key.map { plain($0) == plain(emoji) } ?? false
  }

  // MARK: Typing

  private func typing(_ isTyping: Bool, _ job: SendJob, _ answers: [APIAnswer]) -> SendStep {
    let known = MatrixAPI.user(job.secrets, account: job.account)
    if known == nil, answers.isEmpty { return .call(MatrixAPI.whoami(job.secrets)) }
    guard let user = known ?? answers.first?.json?["user_id"]?.string else {
      return .failed(.unreadable("user's id"))
    }
    if answers.count > (known == nil ? 1 : 0) { return .done(SendReceipt()) }
    var body: [String: JSONValue] = ["typing": .bool(isTyping)]
    if isTyping { body["timeout"] = .integer(Self.typingMilliseconds) }
    let path = MatrixAPI.room(job.conversation.externalID, "typing/\(APIRequest.element(user))")
    return .call(MatrixAPI.call("PUT", path, job.secrets, body: .json(.object(body))))
  }
}

/// The content of events that are sent (https://spec.matrix.org/latest/client-server-api/#instant-messaging).
extension MatrixContent {
  private static let copied = ["format", "formatted_body", "m.mentions"]

  static func outbound(_ message: OutboundMessage, file: (OutboundFile, String)? = nil) -> JSONValue {
    var content: [String: JSONValue] = ["msgtype": message.extras?["msgtype"] ?? "m.text"]
    content["body"] = .string(message.text ?? "")
    for name in copied { content[name] = message.extras?[name] }
    if message.kind == .location, let uri = geoURI(message.extras?["location"]) {
      content["msgtype"] = "m.location"
      content["geo_uri"] = .string(uri)
      content["body"] = .string(message.text.flatMap { $0.isEmpty ? nil : $0 } ?? uri)
    }
    if let (file, uri) = file { attach(file, uri, message, to: &content) }
    content["m.relates_to"] = relation(message)
    return .object(content)
  }

  private static func attach(
    _ file: OutboundFile, _ uri: String, _ message: OutboundMessage, to content: inout [String: JSONValue]
  ) {
    content["url"] = .string(uri)
    content["info"] = ["mimetype": .string(file.mimeType), "size": .integer(file.sizeBytes)]
    // Where there is a caption, it is the body, and the name stands apart.
    let caption = message.text.flatMap { $0.isEmpty ? nil : $0 }
    content["body"] = .string(caption ?? file.name)
    if message.kind == .sticker {
      content["msgtype"] = nil
      return
    }
    content["filename"] = .string(file.name)
    let types: [Attachment.Kind: String] = [.image: "m.image", .video: "m.video", .audio: "m.audio"]
    content["msgtype"] = .string(types[file.kind] ?? "m.file")
  }

  private static func relation(_ message: OutboundMessage) -> JSONValue? {
    let reply = message.replyTo.map { ["event_id": JSONValue.string($0)] }
    guard let thread = message.threadID ?? message.replyThreadID else {
      return reply.map { ["m.in_reply_to": .object($0)] }
    }
    return [
      "rel_type": "m.thread", "event_id": .string(thread), "is_falling_back": .bool(reply == nil),
      "m.in_reply_to": .object(reply ?? ["event_id": .string(thread)]),
    ]
  }

  static func edit(_ edit: OutboundEdit) -> JSONValue {
    [
      "msgtype": "m.text", "body": .string("* " + edit.text),
      "m.new_content": ["msgtype": "m.text", "body": .string(edit.text)],
      "m.relates_to": ["rel_type": "m.replace", "event_id": .string(edit.messageID)],
    ]
  }

  /// RFC 5870; nil: it is no place.
  static func geoURI(_ location: JSONValue?) -> String? {
    guard let latitude = location?["latitude"]?.double, let longitude = location?["longitude"]?.double,
      (-90...90).contains(latitude), (-180...180).contains(longitude)
    else { return nil }
    return "geo:\(latitude),\(longitude)"
  }
}
