import CPostgres
package import EventLoop
import Glibc

extension PostgresConnection {
  /// Opens a session without blocking the loop. Call on the loop.
  /// - Parameters:
  ///   - blocking: resolves host names and sends cancel requests, which block in libpq.
  /// - Throws: `connectFailed`, or `timedOut` after `connectTimeout`.
  package static func connect(
    _ configuration: PostgresConfiguration, on loop: EventLoop, blocking: BlockingPool
  ) async throws(PostgresError) -> PostgresConnection {
    loop.assertInLoop()
    let deadline = LoopInstant.current() + configuration.connectTimeout
    var parameters = try configuration.parameters()
    try await resolveHosts(&parameters, blocking)
    guard let pq = start(parameters) else { throw PostgresError(.connectFailed, "no memory") }
    do throws(PostgresError) {
      try await poll(pq, on: loop, deadline: deadline)
      guard PQsetnonblocking(pq, 1) == 0, PQenterPipelineMode(pq) == 1 else {
        throw PostgresError(.connectFailed, message(of: pq))
      }
      return try PostgresConnection(pq, configuration, on: loop, blocking: blocking)
    } catch {
      PQfinish(pq)
      throw error
    }
  }

  private static func start(_ parameters: [String: String]) -> OpaquePointer? {
    var keywords: [UnsafePointer<CChar>?] = []
    var values: [UnsafePointer<CChar>?] = []
    var copies: [UnsafeMutablePointer<CChar>?] = []
    defer { for copy in copies { free(copy) } }
    for (keyword, value) in parameters {
      let keywordCopy = strdup(keyword)
      let valueCopy = strdup(value)
      copies += [keywordCopy, valueCopy]
      keywords.append(keywordCopy.map { UnsafePointer($0) })
      values.append(valueCopy.map { UnsafePointer($0) })
    }
    keywords.append(nil)
    values.append(nil)
    let pq = PQconnectStartParams(keywords, values, 0)
    // The default writes notices to standard error.
    PQsetNoticeProcessor(pq, { _, _ in }, nil)
    return pq
  }

  private static func poll(
    _ pq: OpaquePointer, on loop: EventLoop, deadline: LoopInstant
  ) async throws(PostgresError) {
    guard PQstatus(pq) != CONNECTION_BAD else { throw PostgresError(.connectFailed, message(of: pq)) }
    var state = PGRES_POLLING_WRITING
    while true {
      // The watch lives for one wait only: libpq may close the descriptor and take another one.
      switch state {
      case PGRES_POLLING_OK: return
      case PGRES_POLLING_READING:
        try await wait(PQsocket(pq), .readable, on: loop, deadline: deadline)
      case PGRES_POLLING_WRITING:
        try await wait(PQsocket(pq), .writable, on: loop, deadline: deadline)
      default: throw PostgresError(.connectFailed, message(of: pq))
      }
      state = PQconnectPoll(pq)
    }
  }

  private static func wait(
    _ descriptor: Int32, _ interest: Readiness, on loop: EventLoop, deadline: LoopInstant
  ) async throws(PostgresError) {
    let wait = ReadinessWait()
    let watch: FileWatch
    do {
      watch = try loop.watch(fd: descriptor) { _ in wait.finish(true) }
    } catch {
      throw PostgresError(.connectFailed, "cannot watch the socket: \(error)")
    }
    let timer = loop.schedule(at: deadline) { wait.finish(false) }
    let isReady = await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
      wait.continuation = continuation
      watch.setInterest(interest)
    }
    watch.cancel()
    loop.cancel(timer)
    if !isReady { throw PostgresError(.timedOut, "no connection in time") }
  }

  /// Puts numeric addresses beside host names, because libpq would look names up on the loop.
  private static func resolveHosts(
    _ parameters: inout [String: String], _ blocking: BlockingPool
  ) async throws(PostgresError) {
    guard let host = parameters["host"], parameters["hostaddr"] == nil else { return }
    let hosts = host.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard hosts.contains(where: { !$0.isEmpty && !$0.hasPrefix("/") && !$0.hasPrefix("@") }) else { return }
    let ports = (parameters["port"] ?? "5432").split(separator: ",").map(String.init)
    var rows: [(host: String, address: String, port: String)] = []
    for (index, host) in hosts.enumerated() {
      let port = ports.count == hosts.count ? ports[index] : (ports.first ?? "5432")
      if host.isEmpty || host.hasPrefix("/") || host.hasPrefix("@") {
        rows.append((host, "", port))
        continue
      }
      let addresses: [String]
      do {
        addresses = try await blocking.run { NameLookup.hosts(of: host) }
      } catch {
        throw PostgresError(.connectFailed, "cannot resolve \(host): \(error)")
      }
      for address in addresses { rows.append((host, address, port)) }
    }
    guard !rows.isEmpty else { throw PostgresError(.connectFailed, "cannot resolve \(host)") }
    parameters["host"] = rows.map(\.host).joined(separator: ",")
    parameters["hostaddr"] = rows.map(\.address).joined(separator: ",")
    parameters["port"] = rows.map(\.port).joined(separator: ",")
  }

  /// libpq's last message, on one line. It names hosts and users, never passwords.
  static func message(of pq: OpaquePointer?) -> String {
    guard let text = PQerrorMessage(pq) else { return "unknown" }
    return String(cString: text).split(separator: "\n").joined(separator: "; ")
  }

  private final class ReadinessWait {
    var continuation: UnsafeContinuation<Bool, Never>?

    func finish(_ isReady: Bool) {
      guard let waiting = continuation else { return }
      continuation = nil
      waiting.resume(returning: isReady)
    }
  }
}
