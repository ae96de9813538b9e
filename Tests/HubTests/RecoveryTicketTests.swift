import Bytes
import Security
import Testing

@testable import Hub

@Suite("Connection recovery tickets")
struct RecoveryTicketTests {
  private let keys: KeyRing
  private let ticket = RecoveryTicket(
    socketID: "abcdefghijklmnopqrst",
    principal: Principal(
      tenant: "default", user: "ana", email: "ana@example.com", roles: ["admin", "agent"],
      expires: Timestamp(seconds: 2_000)))

  init() throws {
    keys = try Self.keys("11")
  }

  private static func keys(_ pairs: String...) throws -> KeyRing {
    let text = pairs.map { String(repeating: $0, count: 32) }.joined(separator: ",")
    return try #require(KeyRing(configuration: text))
  }

  @Test("a ticket opens to what was sealed, until its token ends")
  func opens() {
    let text = ticket.sealed(by: keys)
    #expect(RecoveryTicket(opening: text, by: keys, now: Timestamp(seconds: 1_999)) == ticket)
    #expect(RecoveryTicket(opening: text, by: keys, now: Timestamp(seconds: 2_000)) == nil)
  }

  @Test("a ticket shows nothing of the user")
  func hides() {
    let text = ticket.sealed(by: keys)
    let bytes = Base64.decode(text, .url) ?? []
    #expect(!String(decoding: bytes, as: UTF8.self).contains("ana"))
  }

  @Test("a changed ticket, another key's and other text open to nothing")
  func refuses() throws {
    let now = Timestamp(seconds: 1_000)
    let text = ticket.sealed(by: keys)
    let bytes = try #require(Base64.decode(text, .url))
    for place in bytes.indices {
      var changed = bytes
      changed[place] ^= 1
      let other = Base64.encode(changed, .url)
      #expect(RecoveryTicket(opening: other, by: keys, now: now) == nil)
    }
    let others = try Self.keys("22")
    #expect(RecoveryTicket(opening: text, by: others, now: now) == nil)
    for other in ["", "x", "null", String(repeating: "A", count: 100_000)] {
      #expect(RecoveryTicket(opening: other, by: keys, now: now) == nil)
    }
  }

  @Test("a ticket outlives a change of keys while the old one still opens")
  func rotates() throws {
    let text = ticket.sealed(by: keys)
    let rotated = try Self.keys("22", "11")
    #expect(RecoveryTicket(opening: text, by: rotated, now: Timestamp(seconds: 1_000)) == ticket)
  }
}
