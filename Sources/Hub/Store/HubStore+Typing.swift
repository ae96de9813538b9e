import Bytes
import Postgres

extension HubStore {
  /// Where a platform's typing notice belongs, and who may see it. nil: the conversation is not known.
  func typingTarget(
    tenant: String, account: UUIDv7, conversation: String
  ) async throws -> (conversation: UUIDv7, users: [UserKey])? {
    let rows = try await writer.query(
      """
      SELECT m.conversation_id, m.user_id FROM conversations c
      JOIN memberships m ON m.tenant_id = c.tenant_id AND m.conversation_id = c.id
      WHERE c.tenant_id = $1 AND c.account_id = $2 AND c.external_id = $3
      """,
      [.text(tenant), .uuid(account), .text(conversation)])
    guard let first = rows.first else { return nil }
    let users = try rows.map { UserKey(tenant: tenant, user: try $0.string(1)) }
    return (try first.uuid(0), users)
  }
}
