import JSON
import Messaging
package import Platforms
import Postgres

/// What conversations show of their platforms.
extension HubStore {
  /// Writes down what platforms can do; those that are not named stay as they are.
  package func savePlatforms(_ platforms: [any Platform]) async throws {
    _ = try await writer.query(
      """
      INSERT INTO platforms AS p (name, capabilities, reply_window, after_reply_window)
      SELECT n.name, n.can::text, make_interval(secs => n.seconds), n.after
      FROM unnest($1::text[], $2::json[], $3::double precision[], $4::text[]) AS n(name, can, seconds, after)
      ON CONFLICT (name) DO UPDATE SET capabilities = excluded.capabilities,
        reply_window = excluded.reply_window, after_reply_window = excluded.after_reply_window
      WHERE (p.capabilities, p.reply_window, p.after_reply_window) IS DISTINCT FROM
        (excluded.capabilities, excluded.reply_window, excluded.after_reply_window)
      """,
      [
        .texts(platforms.map { $0.name.rawValue }), .jsons(platforms.map { $0.capabilities.json.encoded() }),
        .doubles(platforms.map { $0.capabilities.replyWindow.map(Double.init) }),
        .texts(platforms.map { $0.capabilities.afterReplyWindow }),
      ])
  }
}
