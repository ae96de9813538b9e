import Bytes
import EventLoop
import JSON
import Messaging
package import Platforms
package import Security
import Synchronization

/// Access tokens of accounts: kept sealed in the database, renewed ahead of their end, once for all nodes.
///
/// Whoever renews holds the token's row: the others wait for it and then find the new one. A refresh token
/// that may be used once is therefore used once.
package final class TokenKeeper: Sendable {
  /// A token is renewed when it ends within this time.
  private static let aheadSeconds: Int64 = 120

  private let store: HubStore
  private let caller: PlatformCaller
  private let keys: KeyRing
  private let clock: WallClock

  package init(store: HubStore, caller: PlatformCaller, keys: KeyRing, clock: WallClock) {
    self.store = store
    self.caller = caller
    self.keys = keys
    self.clock = clock
  }

  /// A token that is good for a while; nil: the platform, or these credentials, need none.
  /// - Parameter renew: the platform refused the one that is there.
  package func token(
    for account: Account, _ platform: any Platform, renew: Bool
  ) async throws(APIFailure) -> String? {
    guard let source = platform as? any TokenPlatform,
      source.tokenRequest(account.secrets, refresh: nil, now: clock.now()) != nil
    else { return nil }
    let stored = try await read(account)
    if let stored, !renew, isFresh(stored) { return stored.value }
    return try await renewed(account, source, known: stored)
  }

  private func isFresh(_ token: StoredToken) -> Bool {
    token.expiresAt.seconds - clock.now().seconds > Self.aheadSeconds
  }

  private func read(_ account: Account) async throws(APIFailure) -> StoredToken? {
    do {
      guard let sealed = try await store.accountToken(account) else { return nil }
      return try StoredToken(opening: sealed, account, keys)
    } catch {
      throw APIFailure("the account's token cannot be read", .later(seconds: nil))
    }
  }

  private func renewed(
    _ account: Account, _ source: any TokenPlatform, known: StoredToken?
  ) async throws(APIFailure) -> String {
    let claim: TokenClaim
    do {
      claim = try await store.claimToken(account)
    } catch {
      throw APIFailure("the account's token cannot be renewed now", .later(seconds: nil))
    }
    guard claim.isMine else { throw APIFailure("the token is being renewed", .later(seconds: 1)) }
    let current = claim.sealed.flatMap { try? StoredToken(opening: $0, account, keys) }
    // Somebody was faster.
    if let current, current != known, isFresh(current) {
      await release(account)
      return current.value
    }
    do throws(APIFailure) {
      let token = try await fetch(account, source, refresh: current?.refresh)
      await save(account, token, keeping: current?.refresh)
      return token.value
    } catch {
      await release(account)
      throw error
    }
  }

  private func fetch(
    _ account: Account, _ source: any TokenPlatform, refresh: String?
  ) async throws(APIFailure) -> AccessToken {
    guard let request = source.tokenRequest(account.secrets, refresh: refresh, now: clock.now()) else {
      throw APIFailure(
        "the account has nothing to get a token with", .credentials(action: "complete its credentials"))
    }
    let answer: APIAnswer
    do throws(CallFault) {
      answer = try await caller.call(request)
    } catch {
      throw APIFailure("the token endpoint does not answer", .later(seconds: nil))
    }
    return try source.token(from: answer, now: clock.now()).get()
  }

  private func save(_ account: Account, _ token: AccessToken, keeping refresh: String?) async {
    let stored = StoredToken(
      value: token.value, expiresAt: token.expiresAt, refresh: token.refresh ?? refresh)
    try? await store.saveToken(account, sealed: stored.sealed(account, keys), expiresAt: token.expiresAt)
  }

  private func release(_ account: Account) async {
    try? await store.releaseToken(account)
  }
}

/// A token as it is kept.
struct StoredToken: Equatable {
  let value: String
  let expiresAt: Timestamp
  let refresh: String?

  init(value: String, expiresAt: Timestamp, refresh: String?) {
    self.value = value
    self.expiresAt = expiresAt
    self.refresh = refresh
  }

  init(opening blob: [UInt8], _ account: Account, _ keys: KeyRing) throws {
    let json = try JSONValue(parsing: try keys.open(blob, context: Self.context(account)))
    guard let value = json["token"]?.string, let end = json["expiresAt"]?.integer else {
      throw KeyRing.OpenError.malformed
    }
    self.init(value: value, expiresAt: Timestamp(seconds: end), refresh: json["refresh"]?.string)
  }

  func sealed(_ account: Account, _ keys: KeyRing) -> [UInt8] {
    var members: [String: JSONValue] = ["token": .string(value), "expiresAt": .integer(expiresAt.seconds)]
    members["refresh"] = refresh.map { .string($0) }
    return keys.seal(JSONValue.object(members).encoded(), context: Self.context(account))
  }

  private static func context(_ account: Account) -> [UInt8] {
    Array("\(account.tenant)/\(account.id)/token".utf8)
  }
}
