import Bytes
import JSON
import Messaging
import Postgres

extension HubStore {
  func saveUpload(_ id: UUIDv7, _ file: OutboundFile, by user: UserKey) async throws {
    _ = try await writer.query(
      "INSERT INTO uploads (tenant_id, id, user_id, file) VALUES ($1, $2, $3, $4)",
      [
        .text(user.tenant), .uuid(id), .text(user.user),
        .text(String(decoding: file.json.encoded(), as: UTF8.self)),
      ])
  }

  /// nil: there is none, or it is another user's.
  func upload(_ id: UUIDv7, of user: UserKey) async throws -> OutboundFile? {
    let rows = try await writer.query(
      "SELECT file FROM uploads WHERE tenant_id = $1 AND id = $2 AND user_id = $3",
      [.text(user.tenant), .uuid(id), .text(user.user)])
    guard let text = try rows.first?.bytes(0) else { return nil }
    return try OutboundFile(json: JSONValue(parsing: text))
  }
}
