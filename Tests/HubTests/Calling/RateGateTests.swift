import Bytes
import Platforms
import Security
import Testing

@testable import Hub

@Suite struct RateGateTests {
  private static let now = Timestamp(seconds: 1_795_219_200)

  private static func keys(_ byte: UInt8) throws -> KeyRing {
    KeyRing(newest: try #require(KeyRing.Key([UInt8](repeating: byte, count: 32))))
  }

  private static func account(_ number: UInt8, app: String, tenant: String = "t") -> Account {
    var secrets = AccountSecrets()
    secrets.set("appSecret", [app])
    return Account(
      id: UUIDv7(milliseconds: UInt64(number), counter: 1, random: 1), tenant: tenant,
      platform: "whatsapp", key: "k", secrets: secrets, isDisabled: false)
  }

  private static func later(_ seconds: Double) -> Timestamp {
    Timestamp(microseconds: now.microseconds + Int64(seconds * 1_000_000))
  }

  @Test("a pause of an app is one of all its accounts, and of no others")
  func apps() throws {
    let gate = RateGate(keys: try Self.keys(1))
    let (one, two) = (Self.account(1, app: "a"), Self.account(2, app: "a"))
    let (other, foreign) = (Self.account(3, app: "b"), Self.account(4, app: "a", tenant: "u"))
    gate.pauseApp(one, seconds: 30, now: Self.now)
    #expect(gate.pause(of: one, now: Self.now) == Self.later(30))
    #expect(gate.pause(of: two, now: Self.now) == Self.later(30))
    #expect(gate.pause(of: other, now: Self.now) == nil)
    #expect(gate.pause(of: foreign, now: Self.now) == nil)
    #expect(gate.pause(of: two, now: Self.later(30)) == nil)
    gate.pauseAccount(one, seconds: 60, now: Self.now)
    #expect(gate.pause(of: one, now: Self.now) == Self.later(60))
    #expect(gate.pause(of: two, now: Self.now) == Self.later(30))
  }

  @Test("the longest pause counts, and none is longer than an hour", arguments: [1e300, .infinity, 3_601])
  func bounds(seconds: Double) throws {
    let gate = RateGate(keys: try Self.keys(1))
    let account = Self.account(1, app: "a")
    gate.pauseAccount(account, seconds: seconds, now: Self.now)
    gate.pauseAccount(account, seconds: 5, now: Self.now)
    gate.pauseAccount(account, seconds: .nan, now: Self.now)
    gate.pauseAccount(account, seconds: -7, now: Self.now)
    #expect(gate.pause(of: account, now: Self.now) == Self.later(3_600))
  }

  @Test("what is told is learnt by another node, under the same keys only, once")
  func sharing() throws {
    let (told, learner) = (RateGate(keys: try Self.keys(1)), RateGate(keys: try Self.keys(1)))
    let account = Self.account(1, app: "secret")
    told.pauseApp(account, seconds: 30, now: Self.now)
    told.pauseAccount(account, seconds: 1, now: Self.now)
    let news = told.takeNews()
    #expect(news.map(\.end) == [Self.later(30)])
    #expect(told.takeNews().isEmpty)
    told.putBack(news)
    #expect(told.takeNews().count == 1)
    learner.learn(news.map { (name: $0.name, seconds: 20) }, now: Self.now)
    #expect(learner.pause(of: Self.account(2, app: "secret"), now: Self.now) == Self.later(20))
    // What is learnt is no news.
    #expect(learner.takeNews().isEmpty)
    let stranger = RateGate(keys: try Self.keys(2))
    stranger.learn(news.map { (name: $0.name, seconds: 20) }, now: Self.now)
    #expect(stranger.pause(of: account, now: Self.now) == nil)
  }
}
