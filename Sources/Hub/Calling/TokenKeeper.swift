import Bytes
package import EventLoop
import JSON
import Messaging
package import Platforms
package import Security
import Synchronization
package import Telemetry

/// Access tokens of accounts: kept sealed in the database, renewed ahead of their end, once for all nodes.
///
/// Whoever renews holds the token's row: the others wait for it and then find the new one. A refresh token
/// that may be used once is therefore used once. A token that the database cannot take at once is used from
/// memory meanwhile, and none follows it before it is kept.
package final class TokenKeeper: Sendable {
  /// A token is renewed when it ends within this time, or within a part of its life where that is short.
  private static let aheadSeconds: Int64 = 120
  private static let aheadPart: Int64 = 5
  private static let saveTries = 60
  /// Whoever renews is left alone for thirty seconds: then a refresh token would be used a second time.
  private static let callSeconds = 20
  /// Another node gets a token, or this one does for another call.
  static let isBeingRenewed = APIFailure("the account's token is being renewed", .later(seconds: 1))

  /// A token that is not in the database yet.
  private struct Unsaved {
    let token: StoredToken
    /// What it stands in place of.
    let replaced: [UInt8]?
  }

  private let store: HubStore
  private let caller: PlatformCaller
  private let keys: KeyRing
  private let clock: WallClock
  private let log: Logger
  private let loop: EventLoop
  private let unsaved = Mutex<[UUIDv7: Unsaved]>([:])

  package init(
    store: HubStore, caller: PlatformCaller, keys: KeyRing, clock: WallClock, log: Logger, loop: EventLoop
  ) {
    self.store = store
    self.caller = caller
    self.keys = keys
    self.clock = clock
    self.log = log
    self.loop = loop
  }

  /// Waits for the database to take what it has to.
  package func stop(until deadline: LoopInstant) async {
    while unsaved.withLock({ !$0.isEmpty }), loop.now < deadline {
      try? await loop.sleep(for: .milliseconds(50))
    }
  }

  /// A token that is good for a while; nil: the platform, or these credentials, need none.
  /// - Parameter renew: the platform refused the one that is there.
  package func token(
    for account: Account, _ platform: any Platform, renew: Bool
  ) async throws(APIFailure) -> String? {
    guard let source = platform as? any TokenPlatform,
      source.tokenRequest(account.secrets, refresh: nil, now: clock.now()) != nil
    else { return nil }
    let stored: StoredToken?
    if let held = held(account) {
      stored = held.token
    } else {
      stored = try await read(account)
    }
    if let stored, !renew, isFresh(stored) { return stored.value }
    return try await renewed(account, source, known: stored)
  }

  private func isFresh(_ token: StoredToken) -> Bool {
    let ahead = token.lifetime.map { min(Self.aheadSeconds, $0 / Self.aheadPart) } ?? Self.aheadSeconds
    return token.expiresAt.seconds - clock.now().seconds > ahead
  }

  private func read(_ account: Account) async throws(APIFailure) -> StoredToken? {
    do {
      guard let kept = try await store.accountToken(account) else { return nil }
      return try opened(kept, account)
    } catch {
      throw APIFailure("the account's token cannot be read", .later(seconds: nil))
    }
  }

  /// What was kept, unless it came from a grant that the account has not any more: new credentials count.
  private func opened(_ kept: SealedToken, _ account: Account) throws -> StoredToken? {
    var token = try StoredToken(opening: kept.sealed, account, keys)
    if let seconds = kept.secondsLeft {
      // Whoever kept it may have had another clock: here it ends so long from now.
      token.expiresAt = Timestamp(seconds: clock.now().seconds + Int64(seconds.rounded(.down)))
    }
    return token.isOf(account) ? token : nil
  }

  private func renewed(
    _ account: Account, _ source: any TokenPlatform, known: StoredToken?
  ) async throws(APIFailure) -> String {
    let claim: TokenClaim
    do {
      if let held = held(account) { try await write(held, account) }
      claim = try await store.claimToken(account)
    } catch {
      throw APIFailure("the account's token cannot be renewed now", .later(seconds: nil))
    }
    guard claim.isMine else { throw Self.isBeingRenewed }
    let current = claim.kept.flatMap { try? opened($0, account) }
    // Somebody was faster.
    if let current, current.value != known?.value, isFresh(current) {
      await release(account)
      return current.value
    }
    do throws(APIFailure) {
      let token = try await fetch(account, source, refresh: current?.refresh)
      let stored = StoredToken(
        value: token.value, expiresAt: token.expiresAt, refresh: token.refresh ?? current?.refresh,
        grant: StoredToken.grant(of: account), lifetime: token.expiresAt.seconds - clock.now().seconds)
      await save(Unsaved(token: stored, replaced: claim.kept?.sealed), account)
      return token.value
    } catch {
      await release(account)
      throw error
    }
  }

  private func fetch(
    _ account: Account, _ source: any TokenPlatform, refresh: String?
  ) async throws(APIFailure) -> AccessToken {
    guard var request = source.tokenRequest(account.secrets, refresh: refresh, now: clock.now()) else {
      throw APIFailure(
        "the account has nothing to get a token with", .credentials(action: "complete its credentials"))
    }
    request.timeoutSeconds = min(request.timeoutSeconds, Self.callSeconds)
    let answer: APIAnswer
    do throws(CallFault) {
      answer = try await caller.call(request)
    } catch {
      throw APIFailure("the token endpoint does not answer", .later(seconds: nil))
    }
    return try source.token(from: answer, now: clock.now()).get()
  }

  // MARK: Keeping

  private func held(_ account: Account) -> Unsaved? {
    unsaved.withLock { $0[account.id] }.flatMap { $0.token.isOf(account) ? $0 : nil }
  }

  private func save(_ token: Unsaved, _ account: Account) async {
    unsaved.withLock { $0[account.id] = token }
    do {
      try await write(token, account)
    } catch {
      warn(error, account)
      Task { await withTaskExecutorPreference(loop) { await keepSaving(token, account) } }
    }
  }

  /// A database that is away is waited for. If the node dies meanwhile, the token is lost.
  private func keepSaving(_ token: Unsaved, _ account: Account) async {
    for turn in 0..<Self.saveTries {
      try? await loop.sleep(for: .milliseconds(min(5_000, 100 << min(turn, 6))))
      // It may have been written by who needed the next one.
      guard held(account)?.token == token.token else { return }
      do {
        try await write(token, account)
        return
      } catch {
        warn(error, account)
      }
    }
    log.error(
      "a renewed token is lost: it could not be written", ["account": .string("\(account.id)")])
    forget(token, account)
  }

  private func write(_ token: Unsaved, _ account: Account) async throws {
    try await store.saveToken(
      account, sealed: token.token.sealed(account, keys),
      secondsLeft: Double(token.token.expiresAt.seconds - clock.now().seconds), replacing: token.replaced)
    forget(token, account)
  }

  private func forget(_ token: Unsaved, _ account: Account) {
    unsaved.withLock { if $0[account.id]?.token == token.token { $0[account.id] = nil } }
  }

  private func warn(_ error: any Error, _ account: Account) {
    log.warning(
      "a renewed token cannot be written",
      ["account": .string("\(account.id)"), "error": .string("\(error)")])
  }

  private func release(_ account: Account) async {
    try? await store.releaseToken(account)
  }
}

/// A token as it is kept.
struct StoredToken: Equatable {
  let value: String
  /// By this node's clock.
  var expiresAt: Timestamp
  let refresh: String?
  /// A digest of the refresh token that a person gave, from which all others followed.
  let grant: String?
  /// Seconds for which it was given; nil: that was not kept.
  let lifetime: Int64?

  private static let grantField = "refreshToken"

  init(value: String, expiresAt: Timestamp, refresh: String?, grant: String?, lifetime: Int64?) {
    self.value = value
    self.expiresAt = expiresAt
    self.refresh = refresh
    self.grant = grant
    self.lifetime = lifetime
  }

  static func grant(of account: Account) -> String? {
    account.secrets[grantField].first.map { Hex.encode(Digest.sha256(Array($0.utf8))) }
  }

  /// Whether it came from what the account has now. Of one that does not say, nothing else is known.
  func isOf(_ account: Account) -> Bool { grant == nil || grant == Self.grant(of: account) }

  init(opening blob: [UInt8], _ account: Account, _ keys: KeyRing) throws {
    let json = try JSONValue(parsing: try keys.open(blob, context: Self.context(account)))
    guard let value = json["token"]?.string, let end = json["expiresAt"]?.integer else {
      throw KeyRing.OpenError.malformed
    }
    self.init(
      value: value, expiresAt: Timestamp(seconds: end), refresh: json["refresh"]?.string,
      grant: json["grant"]?.string, lifetime: json["lifetime"]?.integer)
  }

  func sealed(_ account: Account, _ keys: KeyRing) -> [UInt8] {
    var members: [String: JSONValue] = ["token": .string(value), "expiresAt": .integer(expiresAt.seconds)]
    members["refresh"] = refresh.map { .string($0) }
    members["grant"] = grant.map { .string($0) }
    members["lifetime"] = lifetime.map { .integer($0) }
    return keys.seal(JSONValue.object(members).encoded(), context: Self.context(account))
  }

  private static func context(_ account: Account) -> [UInt8] {
    Array("\(account.tenant)/\(account.id)/token".utf8)
  }
}
