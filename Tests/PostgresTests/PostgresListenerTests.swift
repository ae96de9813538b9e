import EventLoop
import Testing

@testable import Postgres

@Suite("PostgreSQL listener")
struct PostgresListenerTests {
  @Test("notifications come in order; after a broken session it listens again and says so")
  func listens() async throws {
    let configuration = try TestCluster.configuration()
    try await TestLoop.run { shard, blocking in
      let loop = shard.loop
      let seen = Seen<PostgresListener.Event>()
      var listening = configuration
      listening.applicationName = "listener under test"
      let listener = PostgresListener(
        .init(connection: listening, channels: ["hub \"events\""]), on: loop, blocking: blocking,
        random: { 0 }, handler: { seen.append($0) })
      listener.start()
      defer { listener.close() }
      let started = try await eventually(loop) { seen.all == [.mayHaveMissed] }
      #expect(started)

      let sender = try await PostgresConnection.connect(configuration, on: loop, blocking: blocking)
      defer { sender.close() }
      let longest = String(repeating: "x", count: 7_999)
      for payload in ["one", "", longest] {
        _ = try await sender.query("SELECT pg_notify($1, $2)", [.text("hub \"events\""), .text(payload)])
      }
      _ = try await sender.query("SELECT pg_notify('another', 'not for us')")
      let heard = try await eventually(loop) { seen.all.count == 4 }
      #expect(heard)
      let expected = ["one", "", longest].map { payload in
        PostgresListener.Event.notification(
          PostgresNotification(
            channel: "hub \"events\"", payload: payload, serverProcess: sender.serverProcess))
      }
      #expect(Array(seen.all.dropFirst()) == expected)

      _ = try await sender.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
        [.text("listener under test")])
      let again = try await eventually(loop) { seen.all.count == 6 }
      #expect(again)
      guard case .lost = seen.all[4] else {
        Issue.record("\(seen.all[4])")
        return
      }
      #expect(seen.all[5] == .mayHaveMissed)
      _ = try await sender.query("SELECT pg_notify($1, 'after')", [.text("hub \"events\"")])
      let after = try await eventually(loop) { seen.all.count == 7 }
      #expect(after)
    }
  }

  @Test("a channel's name has 1 to 63 bytes", arguments: [0, 64])
  func names(_ length: Int) async throws {
    try await TestLoop.withConnection { _, connection in
      let error = await failure { try await connection.listen(String(repeating: "c", count: length)) }
      #expect(error?.code == .listener)
    }
  }
}
