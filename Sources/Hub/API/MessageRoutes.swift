import Bytes
import HTTPServer
import HTTPWire
import JSON
import Messaging

/// Writing to platforms: messages, changes of them, typing, read receipts, files to send.
extension RouteTable {
  mutating func addMessages() {
    let parts = parts
    let store = parts.store
    let outbox = parts.outbox
    secured(.post, "/api/conversations/{id}/messages") { call in
      let fields = try call.body()
      try fields.allow(only: MessageDraft.members)
      let conversation = try call.id("id")
      let key = try IdempotencyKey(
        call.request.headers["idempotency-key"], for: fields, in: conversation)
      let result = try await outbox.send(
        try MessageDraft(fields), in: conversation, by: call.principal.key, key: key)
      switch result {
      case .made(let id):
        return .json(
          .created, try await store.message(call.principal, id), headers: ["Location": "/api/messages/\(id)"])
      case .repeated(let id): return .json(.ok, try await store.message(call.principal, id))
      }
    }
    secured(.get, "/api/messages/{id}") { call in
      .json(.ok, try await store.message(call.principal, try call.id("id")))
    }
    secured(.post, "/api/messages/{id}/retry") { call in
      let id = try call.id("id")
      guard let events = try await store.retryMessage(call.principal, id) else {
        throw Problem(
          409, "not_failed", "The message has not failed", detail: "only a message that failed is sent again")
      }
      parts.relay.publish(events)
      outbox.worker.wake()
      return .json(.ok, try await store.message(call.principal, id))
    }
    addChanges()
    addPresence()
    addUploads()
    addOutbox()
  }

  // MARK: Changes

  private mutating func addChanges() {
    let outbox = parts.outbox
    let store = parts.store
    secured(.patch, "/api/messages/{id}") { call in
      let fields = try call.body()
      try fields.allow(only: ["text"])
      let text = try fields.required("text", bytesMax: MessageText.bytesMax)
      return try await Self.act(call, store, outbox) { .edit(OutboundEdit(messageID: $0, text: text)) }
    }
    secured(.delete, "/api/messages/{id}") { call in
      try await Self.act(call, store, outbox) { .delete(messageID: $0) }
    }
    secured(.post, "/api/messages/{id}/reactions") { call in
      let fields = try call.body()
      try fields.allow(only: ["emoji"])
      let emoji = try fields.required("emoji", bytesMax: 128)
      return try await Self.act(call, store, outbox) { .react(messageID: $0, emoji: emoji, isSet: true) }
    }
    secured(.delete, "/api/messages/{id}/reactions") { call in
      guard let emoji = call.text("emoji") else {
        throw Problem.invalid("'emoji' is missing", field: "emoji")
      }
      return try await Self.act(call, store, outbox) { .react(messageID: $0, emoji: emoji, isSet: false) }
    }
  }

  /// 202: it is done when `message_update` comes; `jobId` is its line of the outbox.
  private static func act(
    _ call: APICall, _ store: HubStore, _ outbox: Outbox, _ make: (String) -> OutboundAction
  ) async throws -> HTTPResponse {
    let id = try call.id("id")
    let conversation = try await store.conversation(of: id, call.principal)
    let job = try await outbox.act(on: id, in: conversation, by: call.principal.key, make)
    return .json(.accepted, JSONValue.object(["jobId": .string("\(job)")]).encoded())
  }

  // MARK: Presence

  private mutating func addPresence() {
    let outbox = parts.outbox
    secured(.post, "/api/conversations/{id}/typing") { call in
      let fields = try call.body(optional: true)
      try fields.allow(only: ["isTyping"])
      await outbox.typing(
        try fields.flag("isTyping") ?? true, in: try call.id("id"), by: call.principal.key)
      return .empty(.noContent)
    }
    secured(.post, "/api/conversations/{id}/receipt") { call in
      let fields = try call.body(optional: true)
      try fields.allow(only: ["upTo"])
      let id = try call.id("id")
      guard
        try await outbox.receipt(in: id, upTo: try fields.id("upTo"), by: call.principal.key, on: .request)
      else { throw Problem(422, "not_supported", "No receipt can be sent here") }
      return .empty(.accepted)
    }
  }

  // MARK: Files

  private mutating func addUploads() {
    let uploads = parts.outbox.uploads
    secured(.post, "/api/uploads", bodyBytesMax: parts.configuration.files.bytesMax) { call in
      guard !call.request.body.isEmpty else { throw Problem.invalid("the body is the file, and it is empty") }
      let name = MessageText.name(call.text("name")) ?? "file"
      let given = call.request.headers["content-type"].flatMap { $0.split(separator: ";").first }.map(
        String.init)
      let type = given ?? MediaType.guess(name)
      let id = try await uploads.keep(call.request.body, name: name, type: type, by: call.principal.key)
      let document: JSONValue = [
        "uploadId": .string("\(id)"), "name": .string(name), "mimeType": .string(type),
        "size": .integer(Int64(call.request.body.count)),
      ]
      return .json(.created, document.encoded())
    }
  }

  // MARK: The outbox itself

  private mutating func addOutbox() {
    let store = parts.store
    secured(.get, "/api/outbox") { call in
      let states = ["queued", "sending", "unknown", "done", "dead"]
      let jobs = try await store.jobs(
        call.principal, state: try call.choice("state", of: states), limit: try call.limit())
      return .json(.ok, JSONDocument.list(jobs, next: nil))
    }
    secured(.get, "/api/outbox/{id}") { call in
      guard let job = try await store.job(call.principal, try call.id("id")) else {
        throw HubStoreError.notFound
      }
      return .json(.ok, job)
    }
  }
}
