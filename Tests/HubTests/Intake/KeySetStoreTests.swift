import Bytes
import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import JSON
import Security
import Synchronization
import Testing

@testable import Hub

@Suite("Key sets of platforms", .timeLimit(.minutes(1)))
struct KeySetStoreTests {
  /// Serves documents by path, and counts what is asked for.
  private final class Publisher: Sendable {
    private struct State {
      var documents: [String: [UInt8]] = [:]
      var requests: [String] = []
    }

    private let state = Mutex(State())
    private let loop: EventLoop
    let base: String
    /// What sets are fetched with.
    let client: HTTPClient

    init() throws {
      loop = try EventLoop(name: "key-sets")
      let listener = try Listener.bind(try #require(SocketAddress(host: "127.0.0.1", port: 0)), on: loop)
      base = "http://\(listener.address)"
      client = HTTPClient(
        loop: loop, blocking: BlockingPool(),
        configuration: HTTPClient.Configuration(tls: try TLSContext(clientTrusting: nil)))
      let server = HTTPServer(loop: loop) { request in self.answer(request) }
      server.listen(listener)
    }

    deinit { loop.shutDown() }

    func close() { loop.shutDown() }

    private func answer(_ request: HTTPRequest) -> HTTPAnswer {
      state.withLock { state in
        state.requests.append(request.path)
        guard let document = state.documents[request.path] else { return .response(.empty(.notFound)) }
        return .response(.json(.ok, document))
      }
    }

    func publish(_ path: String, _ document: [UInt8]) {
      state.withLock { $0.documents[path] = document }
    }

    var requests: [String] { state.withLock { $0.requests } }
  }

  private static let modulus =
    "r4-mKjFfzebLN5Xc9QcpJdg4VDX2-zwitJHDbqCgZuEniQFOsnSwGFSxjIC2KO57B9185vPR2J5I8YTcvJ8kkW"
    + "E6XS9fhGEW3ViV4V8l2AKP9-Iu7OzGPbDOTFs71Fx5pLp_zcA1N46hvuahJ4LI3h9DyOZdj1OQX3CAG3OlL8WX"
    + "I10oWtneHUawbd5msuxeDpPj2DQn6dEZ5w7yMax7tYfDFcnXRgYla08YMQp0BPxyX-2k29BJoHemtGEYttR8GH"
    + "fPm9HWxFbkOFzihTJJM9Rki7JEk12Akp4oJWS2BtHvYOJxF8buUK7xvV_Zvnae0pyblLfJHDaxky5NbbdITQ"
  private static let url = "https://keys.example/set"
  private let now = Timestamp(seconds: 1_795_219_200)

  private static func set(_ ids: String...) -> [UInt8] {
    let keys = ids.map { id -> JSONValue in
      ["kty": "RSA", "kid": .string(id), "n": .string(modulus), "e": "AQAB"]
    }
    return JSONValue.object(["keys": .array(keys)]).encoded()
  }

  private func later(_ seconds: Int64) -> Timestamp { Timestamp(seconds: now.seconds + seconds) }

  private func ids(_ store: KeySetStore, at time: Timestamp) -> [String?]? {
    store.cached(at: time)[Self.url]?.map(\.id)
  }

  @Test("fetches a set once for all who ask, keeps it a day, and looks again for a key it does not have")
  func keeps() async throws {
    let publisher = try Publisher()
    defer { publisher.close() }
    publisher.publish("/set", Self.set("one"))
    let store = KeySetStore(client: publisher.client, mirrors: [Self.url: "\(publisher.base)/set"])
    #expect(ids(store, at: now) == nil)
    let answers = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<20 { group.addTask { await store.refresh(Self.url, now: now) } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(answers == Array(repeating: true, count: 20))
    #expect(publisher.requests.count == 1)
    #expect(ids(store, at: now) == ["one"])
    // Another key is named at once: what is cached was fetched just now, and is not fetched again.
    publisher.publish("/set", Self.set("one", "two"))
    #expect(await store.refresh(Self.url, now: later(29)))
    #expect(publisher.requests.count == 1)
    #expect(ids(store, at: later(29)) == ["one"])
    #expect(await store.refresh(Self.url, now: later(30)))
    #expect(publisher.requests.count == 2)
    #expect(ids(store, at: later(30)) == ["one", "two"])
    #expect(ids(store, at: later(30 + KeySetStore.lifetimeSeconds - 1)) != nil)
    #expect(ids(store, at: later(30 + KeySetStore.lifetimeSeconds)) == nil)
  }

  @Test("a failure keeps the old keys, and is not tried again at once")
  func failure() async throws {
    let publisher = try Publisher()
    defer { publisher.close() }
    let store = KeySetStore(client: publisher.client, mirrors: [Self.url: "\(publisher.base)/set"])
    #expect(await !store.refresh(Self.url, now: now))
    #expect(await !store.refresh(Self.url, now: later(1)))
    #expect(publisher.requests.count == 1)
    publisher.publish("/set", Self.set("one"))
    #expect(await store.refresh(Self.url, now: later(30)))
    publisher.publish("/set", Array("<html>".utf8))
    #expect(await !store.refresh(Self.url, now: later(60)))
    #expect(ids(store, at: later(60)) == ["one"])
    #expect(publisher.requests.count == 3)
  }

  @Test("a set that is too large is none")
  func size() async throws {
    let publisher = try Publisher()
    defer { publisher.close() }
    let store = KeySetStore(client: publisher.client, mirrors: [Self.url: "\(publisher.base)/set"])
    let set = Self.set("one")
    func padded(to count: Int) -> [UInt8] { set + [UInt8](repeating: 32, count: count - set.count) }
    publisher.publish("/set", padded(to: KeySetStore.bytesMax + 1))
    #expect(await !store.refresh(Self.url, now: now))
    publisher.publish("/set", padded(to: KeySetStore.bytesMax))
    #expect(await store.refresh(Self.url, now: later(30)))
    #expect(publisher.requests.count == 2)
  }

  @Test("follows an OpenID configuration to its set, but not to an open connection")
  func configuration() async throws {
    let publisher = try Publisher()
    defer { publisher.close() }
    publisher.publish("/configuration", Array(#"{"jwks_uri":"https://keys.example/real"}"#.utf8))
    publisher.publish("/set", Self.set("one"))
    let store = KeySetStore(
      client: publisher.client,
      mirrors: [
        Self.url: "\(publisher.base)/configuration", "https://keys.example/real": "\(publisher.base)/set",
      ])
    #expect(await store.refresh(Self.url, now: now))
    #expect(ids(store, at: now) == ["one"])
    #expect(publisher.requests == ["/configuration", "/set"])
    let open = JSONValue.object(["jwks_uri": .string("\(publisher.base)/set")]).encoded()
    publisher.publish("/configuration", open)
    #expect(await !store.refresh(Self.url, now: later(30)))
    #expect(publisher.requests == ["/configuration", "/set", "/configuration"])
  }

  @Test("a publisher that is away is a failure")
  func away() async throws {
    let publisher = try Publisher()
    defer { publisher.close() }
    let store = KeySetStore(client: publisher.client, mirrors: [Self.url: "http://127.0.0.1:9/set"])
    #expect(await !store.refresh(Self.url, now: now))
    #expect(await !store.refresh("no URL", now: now))
    #expect(store.cached(at: now).isEmpty)
  }
}
