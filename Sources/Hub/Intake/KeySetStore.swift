package import Bytes
package import HTTPClient
import HTTPWire
import JSON
package import Security
import Synchronization

/// Public keys of platforms that sign tokens: fetched from their JSON Web Key Sets (RFC 7517), kept, and
/// fetched again when a token names a key that is not among them.
///
/// A stranger can name any key, so a set is fetched at most once in `intervalSeconds` whatever comes in.
/// One for the process; any thread may call it.
package final class KeySetStore: Sendable {
  /// After that a set is fetched anew: a key that was taken back must not live for ever.
  static let lifetimeSeconds: Int64 = 86_400
  static let intervalSeconds: Int64 = 30
  static let bytesMax = 1 << 20
  private static let timeMax: Duration = .seconds(5)

  private struct Entry {
    var keys: [JWTKey] = []
    var fetchedAt: Int64?
    var triedAt: Int64?
    var fetching: Task<[JWTKey]?, Never>?
  }

  private let entries = Mutex<[String: Entry]>([:])
  private let client: HTTPClient
  private let mirrors: [String: String]

  /// - Parameter mirrors: other places to fetch sets from, by their own URL.
  package init(client: HTTPClient, mirrors: [String: String] = [:]) {
    self.client = client
    self.mirrors = mirrors
  }

  /// The sets that are not too old.
  package func cached(at now: Timestamp) -> [String: [JWTKey]] {
    entries.withLock { entries in
      entries.compactMapValues { entry in
        guard let fetchedAt = entry.fetchedAt, now.seconds - fetchedAt < Self.lifetimeSeconds else {
          return nil
        }
        return entry.keys
      }
    }
  }

  /// Fetches a set, unless that was done just now.
  /// - Returns: whether what is cached is fresh; false: it cannot be had.
  package func refresh(_ url: String, now: Timestamp) async -> Bool {
    let task = entries.withLock { entries -> Task<[JWTKey]?, Never>? in
      var entry = entries[url] ?? Entry()
      if let running = entry.fetching { return running }
      if let triedAt = entry.triedAt, now.seconds - triedAt < Self.intervalSeconds { return nil }
      entry.triedAt = now.seconds
      let task = Task { await self.fetch(url) }
      entry.fetching = task
      entries[url] = entry
      return task
    }
    guard let task else {
      return entries.withLock { $0[url]?.fetchedAt != nil && $0[url]?.fetchedAt == $0[url]?.triedAt }
    }
    let keys = await task.value
    entries.withLock { entries in
      var entry = entries[url] ?? Entry()
      entry.fetching = nil
      if let keys {
        entry.keys = keys
        entry.fetchedAt = entry.triedAt
      }
      entries[url] = entry
    }
    return keys != nil
  }

  /// Fetches keys: of a key set, of certificates by key id, or of the key set that an OpenID
  /// configuration names (`jwks_uri`).
  private func fetch(_ url: String) async -> [JWTKey]? {
    let address = mirrors[url] ?? url
    guard let document = await load(address) else { return nil }
    guard let next = try? JSONValue(parsing: document)["jwks_uri"]?.string else {
      return (try? JWTKey.keys(jwks: document)) ?? (try? JWTKey.keys(certificates: document))
    }
    // Where the keys are is as trustworthy as who says it: it may not lead to an open connection.
    guard let target = mirrors[next] ?? (next.hasPrefix("https://") ? next : nil),
      let keys = await load(target)
    else { return nil }
    return try? JWTKey.keys(jwks: keys)
  }

  private func load(_ address: String) async -> [UInt8]? {
    guard var request = try? HTTPClientRequest(.get, address) else { return nil }
    request.timeout = Self.timeMax
    request.responseBytesMax = Self.bytesMax
    guard let response = try? await client.send(request), response.status == .ok else { return nil }
    return response.body
  }
}
