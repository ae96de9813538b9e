import Bytes
import JSON
import Messaging

/// Answers over the Bot API. A basic group that became a supergroup is followed to its new id.
extension TelegramPlatform: SendingPlatform {
  private static let captionUnitsMax = 1_024
  private static let albumMax = 10
  /// Larger pictures, and those of other types, go as documents.
  private static let photoBytesMax: Int64 = 10 << 20
  private static let photoTypes: Set<String> = ["image/jpeg", "image/png", "image/webp"]

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard job.secrets.first(TelegramAPI.tokenField) != nil else {
      return SendRefusal(.missingCredentials, "the account has no \(TelegramAPI.tokenField)")
    }
    if case .read = action, connection(job) == nil {
      return SendRefusal(.notSupported, "Telegram takes what was read in chats of a business account only")
    }
    // A reaction takes no connection: it would go to a message of that number in the bot's own chat.
    if case .react = action, connection(job) != nil {
      return SendRefusal(.notSupported, "Telegram takes no reactions in chats of a business account")
    }
    guard case .message(let message) = action else { return nil }
    if message.files.count > Self.albumMax {
      return SendRefusal(.invalidContent, "an album has \(Self.albumMax) files at most")
    }
    if !message.files.isEmpty, let text = message.text, text.utf16.count > Self.captionUnitsMax {
      return SendRefusal(.textTooLong, "a caption has \(Self.captionUnitsMax) characters at most")
    }
    switch message.kind {
    case .location where message.extras?["location"]?.object == nil:
      return SendRefusal(.invalidContent, "a location needs platform.location {latitude, longitude}")
    case .contact where message.extras?["contact"]?.object == nil:
      return SendRefusal(.invalidContent, "a contact needs platform.contact {phone_number, first_name}")
    case .poll where message.extras?["poll"]?.object == nil:
      return SendRefusal(.invalidContent, "a poll needs platform.poll {question, options}")
    default: return nil
    }
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard let answer = answers.last else { return .call(request(job, chat: chat(job))) }
    switch TelegramAPI.result(answer, isRepeatable: isRepeatable(job.action), now: job.now) {
    case .success(let result): return .done(receipt(result, job))
    case .failure(let failure):
      if let moved = answer.json?["parameters"]?["migrate_to_chat_id"]?.identifier, answers.count < 3 {
        return .call(request(job, chat: moved))
      }
      return after(failure, job, isFirst: answers.count == 1)
    }
  }

  /// Some refusals say that all is as it should be.
  private func after(_ failure: APIFailure, _ job: SendJob, isFirst: Bool) -> SendStep {
    switch job.action {
    case .edit(let edit) where isFirst && failure.reason.contains("there is no text in the message"):
      return .call(edited(edit, job, method: "editMessageCaption", member: "caption"))
    case .edit where failure.reason.contains("message is not modified"): return .done(SendReceipt())
    case .delete where failure.reason.contains("message to delete not found"): return .done(SendReceipt())
    default: return .failed(failure)
    }
  }

  private func receipt(_ result: JSONValue, _ job: SendJob) -> SendReceipt {
    guard case .message = job.action else { return SendReceipt() }
    let sent = result.array?.first ?? result
    guard let message = try? TelegramMessage(JSONReader(sent.object ?? [:])).message() else {
      return SendReceipt(messageID: sent["message_id"]?.identifier)
    }
    return SendReceipt(messageID: message.externalID, sentAt: message.sentAt, order: message.order)
  }

  // MARK: Names

  /// The chat's own id: a business account's conversations lead with the connection's.
  private func chat(_ job: SendJob) -> String {
    let id = job.conversation.externalID
    return id.split(separator: ":").last.map(String.init) ?? id
  }

  private func connection(_ job: SendJob) -> String? {
    let parts = job.conversation.externalID.split(separator: ":")
    return parts.count == 2 ? String(parts[0]) : nil
  }

  /// A message's number in its chat: ids of basic groups lead with the group's.
  private func number(_ id: String) -> JSONValue {
    let number = id.split(separator: "/").last.map(String.init) ?? id
    return Int64(number).map { .integer($0) } ?? .string(number)
  }

  private func base(_ job: SendJob, chat: String) -> [String: JSONValue] {
    var members: [String: JSONValue] = ["chat_id": Int64(chat).map { .integer($0) } ?? .string(chat)]
    members["business_connection_id"] = connection(job).map { .string($0) }
    return members
  }

  // MARK: Calls

  private func request(_ job: SendJob, chat: String) -> APIRequest {
    var members = base(job, chat: chat)
    switch job.action {
    case .message(let message): return self.message(message, job, members)
    case .edit(let edit): return edited(edit, job, chat: chat, method: "editMessageText", member: "text")
    case .delete(let id):
      if let connection = connection(job) {
        return TelegramAPI.call(
          "deleteBusinessMessages",
          ["business_connection_id": .string(connection), "message_ids": [number(id)]], job.secrets)
      }
      members["message_id"] = number(id)
      return TelegramAPI.call("deleteMessage", .object(members), job.secrets, isRepeatable: true)
    case .react(let id, let emoji, let isSet):
      members["message_id"] = number(id)
      members["reaction"] = isSet ? [["type": "emoji", "emoji": .string(Self.plain(emoji))]] : []
      return TelegramAPI.call("setMessageReaction", .object(members), job.secrets, isRepeatable: true)
    case .read(let id):
      members["message_id"] = number(id)
      return TelegramAPI.call("readBusinessMessage", .object(members), job.secrets, isRepeatable: true)
    case .typing:
      members["action"] = "typing"
      return TelegramAPI.call("sendChatAction", .object(members), job.secrets, isRepeatable: true)
    }
  }

  /// Telegram knows reactions without the mark that asks for the coloured form.
  private static func plain(_ emoji: String) -> String {
    String(String.UnicodeScalarView(emoji.unicodeScalars.filter { $0.value != 0xfe0f }))
  }

  private func edited(
    _ edit: OutboundEdit, _ job: SendJob, chat: String? = nil, method: String, member: String
  ) -> APIRequest {
    var members = base(job, chat: chat ?? self.chat(job))
    members["message_id"] = number(edit.messageID)
    members[member] = .string(edit.text)
    return TelegramAPI.call(method, .object(members), job.secrets, isRepeatable: true)
  }

  private func message(
    _ message: OutboundMessage, _ job: SendJob, _ base: [String: JSONValue]
  ) -> APIRequest {
    var members = base
    if let reply = message.replyTo {
      members["reply_parameters"] = ["message_id": number(reply), "allow_sending_without_reply": true]
    }
    if let thread = message.threadID { members["message_thread_id"] = number(thread) }
    for name in ["parse_mode", "reply_markup", "link_preview_options", "disable_notification"] {
      members[name] = message.extras?[name]
    }
    if !message.files.isEmpty { return files(message, job, members) }
    switch message.kind {
    case .location: return content("sendLocation", message.extras?["location"], members, job)
    case .contact: return content("sendContact", message.extras?["contact"], members, job)
    case .poll: return content("sendPoll", message.extras?["poll"], members, job)
    default:
      members["text"] = .string(message.text ?? "")
      return TelegramAPI.call("sendMessage", .object(members), job.secrets)
    }
  }

  private func content(
    _ method: String, _ more: JSONValue?, _ members: [String: JSONValue], _ job: SendJob
  ) -> APIRequest {
    let all = members.merging(more?.object ?? [:]) { own, _ in own }
    return TelegramAPI.call(method, .object(all), job.secrets)
  }

  /// Files go as parts of a form; what is not text is JSON in it.
  private func files(
    _ message: OutboundMessage, _ job: SendJob, _ members: [String: JSONValue]
  ) -> APIRequest {
    var parts = members.sorted { $0.key < $1.key }.map { APIPart($0.key, Self.field($0.value)) }
    let single = message.files.count == 1 ? message.files.first : nil
    let caption = message.text.flatMap { $0.isEmpty ? nil : $0 }
    if let file = single {
      if let caption { parts.append(APIPart("caption", caption)) }
      let type = Self.type(file)
      parts.append(APIPart(type, file: 0, filename: file.name, type: file.mimeType))
      let method = "send" + type.prefix(1).uppercased() + type.dropFirst()
      return APIRequest(
        "POST", TelegramAPI.url(method, job.secrets), body: .multipart(parts), timeoutSeconds: 120)
    }
    let types = Self.types(ofAlbum: message.files)
    let media: [JSONValue] = message.files.indices.map { index in
      var entry: [String: JSONValue] = [
        "type": .string(types[index]), "media": .string("attach://file\(index)"),
      ]
      if index == 0 {
        entry["caption"] = caption.map { .string($0) }
        entry["parse_mode"] = members["parse_mode"]
      }
      return .object(entry)
    }
    parts.append(APIPart("media", Self.field(.array(media))))
    for (index, file) in message.files.enumerated() {
      parts.append(APIPart("file\(index)", file: index, filename: file.name, type: file.mimeType))
    }
    return APIRequest(
      "POST", TelegramAPI.url("sendMediaGroup", job.secrets), body: .multipart(parts), timeoutSeconds: 120)
  }

  private static func field(_ value: JSONValue) -> String {
    value.string ?? String(decoding: value.encoded(), as: UTF8.self)
  }

  /// Photos and videos are in one album, audio among itself; anything may be a document among documents.
  private static func types(ofAlbum files: [OutboundFile]) -> [String] {
    let types = files.map(type)
    let isAlbum = types.allSatisfy { ["photo", "video"].contains($0) } || types.allSatisfy { $0 == "audio" }
    return isAlbum ? types : files.map { _ in "document" }
  }

  private static func type(_ file: OutboundFile) -> String {
    switch file.kind {
    case .image where file.mimeType == "image/gif": "animation"
    case .image where !photoTypes.contains(file.mimeType) || file.sizeBytes > photoBytesMax: "document"
    case .image: "photo"
    case .video: "video"
    case .audio: file.mimeType == "audio/ogg" ? "voice" : "audio"
    case .sticker: "sticker"
    case .file: "document"
    }
  }
}
