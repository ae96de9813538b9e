import HTTPClient
import HTTPWire
import Platforms
import Synchronization

/// Takes the answer to one download as it comes and hands it to the store.
final class FileDownload: Sendable {
  enum Fault: Error {
    case tooLarge
    case store(any Error)
  }

  private struct State {
    var isFile = false
    var writer: (any FileWriter)?
    var head: [UInt8] = []
    var count: Int64 = 0
    var refusal: [UInt8] = []
  }

  /// As much of a refusal is kept as platforms say in JSON.
  private static let refusalBytesMax = 64 << 10

  private let store: any FileStore
  private let key: String
  private let bytesMax: Int
  private let takesText: Bool
  private let state = Mutex(State())

  /// - Parameter takesText: whether JSON and plain text are files too.
  init(store: any FileStore, key: String, bytesMax: Int, takesText: Bool) {
    self.store = store
    self.key = key
    self.bytesMax = bytesMax
    self.takesText = takesText
  }

  /// Whether the answer is the file.
  var isFile: Bool { state.withLock { $0.isFile } }

  /// The first bytes.
  var head: [UInt8] { state.withLock { $0.head } }
  var count: Int64 { state.withLock { $0.count } }
  var refusal: [UInt8] { state.withLock { $0.refusal } }

  func take(_ event: HTTPClientStreamEvent) async throws {
    switch event {
    case .head(let head): try begin(head)
    case .part(let bytes): try await add(bytes)
    }
  }

  private func begin(_ head: HTTPResponseHead) throws {
    guard head.status.code == 200, takesText || !Self.isText(head.headers["content-type"]) else { return }
    state.withLock { $0.isFile = true }
    if let length = head.headers["content-length"].flatMap({ Int64($0) }), length > Int64(bytesMax) {
      throw Fault.tooLarge
    }
  }

  private static func isText(_ type: String?) -> Bool {
    let essence = type?.split(separator: ";").first?.lowercased().filter { $0 != " " }
    return essence == "application/json" || essence == "text/plain"
  }

  private func add(_ bytes: [UInt8]) async throws {
    let isFile = state.withLock { state -> Bool in
      guard state.isFile else {
        state.refusal += bytes.prefix(Self.refusalBytesMax - state.refusal.count)
        return false
      }
      state.count += Int64(bytes.count)
      if state.head.count < MediaSignature.bytes {
        state.head += bytes.prefix(MediaSignature.bytes - state.head.count)
      }
      return true
    }
    guard isFile else { return }
    guard count <= Int64(bytesMax) else { throw Fault.tooLarge }
    do {
      try await writer().write(bytes)
    } catch {
      throw Fault.store(error)
    }
  }

  private func writer() async throws -> any FileWriter {
    if let writer = state.withLock({ $0.writer }) { return writer }
    let writer = try await store.writer(key)
    state.withLock { $0.writer = writer }
    return writer
  }

  /// The file is there when this returns.
  func finish() async throws(Fault) {
    do {
      try await writer().finish()
    } catch {
      throw .store(error)
    }
    state.withLock { $0.writer = nil }
  }

  /// Leaves nothing in the store.
  func cancel() async {
    let writer = state.withLock { state -> (any FileWriter)? in
      defer { state.writer = nil }
      return state.writer
    }
    await writer?.cancel()
  }
}
