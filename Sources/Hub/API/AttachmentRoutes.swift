import Bytes
import HTTPServer
import HTTPWire
import JSON

/// Files of messages, for those who see the message, and links to them.
extension RouteTable {
  private static let pattern = "/api/messages/{id}/attachments/{position}"

  mutating func addAttachments() {
    let parts = parts
    let files = parts.files
    let users = users
    answered(.get, Self.pattern) { request, parameters in
      let (message, position) = try Self.place(parameters)
      let query = try Self.query(request)
      let principal: Principal
      if let token = query["token"], request.headers["authorization"] == nil {
        principal = try Self.holder(of: token, message, position, files)
      } else {
        principal = try await Self.principal(request, parts, users)
      }
      return try await files.attachment(principal, message, position, request)
    }
    secured(.post, Self.pattern + "/link") { call in
      let (message, position) = try Self.place(call.parameters)
      _ = try await files.store.file(call.principal, message, position)
      let end = Timestamp(seconds: files.clock.now().seconds + FileLinks.attachmentSeconds)
      let token = files.links.token(
        FileLinks.AttachmentLink(
          user: call.principal.key, message: message, position: position, expiresAt: end))
      let link: JSONValue = [
        "url": .string("/api/messages/\(message)/attachments/\(position)?token=\(token)"),
        "expiresAt": .string(end.rfc3339),
      ]
      return .json(.created, link.encoded())
    }
    secured(.post, Self.pattern + "/fetch") { call in
      let (message, position) = try Self.place(call.parameters)
      guard let events = try await files.store.retryFile(call.principal, message, position) else {
        throw Problem(
          409, "file_stored", "The file is there", detail: "a file that is stored is not fetched again")
      }
      files.relay.publish(events)
      files.fetching.wake()
      return .json(.accepted, try await files.store.message(call.principal, message))
    }
    for pattern in ["/files/{token}", "/files/{token}/{name}"] {
      answered(.get, pattern) { request, parameters in
        try await files.published(parameters["token"] ?? "", request)
      }
    }
  }

  private static func place(_ parameters: RouteParameters) throws(Problem) -> (UUIDv7, Int) {
    guard let message = parameters["id"].flatMap({ UUIDv7($0) }),
      let position = parameters["position"].flatMap({ Int($0) }), (1...10_000).contains(position)
    else { throw .notFound("there is nothing of this id") }
    return (message, position)
  }

  /// Who a link was given to: what they may no longer see, the link no longer shows.
  private static func holder(
    of token: String, _ message: UUIDv7, _ position: Int, _ files: FileServing
  ) throws(Problem) -> Principal {
    guard let link = files.links.attachment(token, now: files.clock.now()), link.message == message,
      link.position == position
    else { throw Problem(401, "unauthorized", "The link is none of this file, or it has ended") }
    return Principal(
      tenant: link.user.tenant, user: link.user.user, email: nil, roles: [], expires: link.expiresAt)
  }
}
