import EventLoop
import Foundation
import FoundationNetworking
import HTTPClient
import HTTPWire

/// Sends requests to a hub, one after the other, and counts the answers.
enum WebhookSender {
  struct Request: Sendable {
    let method: String
    let path: String
    let headers: [(String, String)]
    let body: [UInt8]
  }

  /// Where a hub is.
  struct Base: Sendable, Equatable {
    let url: String
    /// Set for plain HTTP to an address of its own; anything else goes through the system's client.
    let address: SocketAddress?
    let prefix: String

    init(_ text: String) throws(UsageError) {
      var text = text
      while text.hasSuffix("/") { text.removeLast() }
      guard let components = URLComponents(string: text), let scheme = components.scheme?.lowercased(),
        ["http", "https"].contains(scheme), let host = components.host, !host.isEmpty
      else { throw UsageError("--url '\(text)' is no http or https address") }
      url = text
      prefix = components.path
      let port = components.port.flatMap { UInt16(exactly: $0) } ?? 80
      let name = host == "localhost" ? "127.0.0.1" : host.filter { $0 != "[" && $0 != "]" }
      address = scheme == "http" ? SocketAddress(host: name, port: port) : nil
    }
  }

  private static let timeMax: Duration = .seconds(30)

  /// - Returns: how many answers of each status there were.
  static func send(_ requests: [Request], to base: Base) async throws -> [Int: Int] {
    do {
      guard let address = base.address else { return try await sendBySystem(requests, base) }
      return try await Program.onLoop("simulate") { loop in
        try await send(requests, to: address, prefix: base.prefix, loop)
      }
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure("no hub answers at \(base.url): \(error)")
    }
  }

  private static func send(
    _ requests: [Request], to address: SocketAddress, prefix: String, _ loop: EventLoop
  ) async throws -> [Int: Int] {
    let connection = try await HTTPClientConnection.connect(
      to: address, on: loop, deadline: LoopInstant.current() + timeMax)
    defer { connection.close() }
    var statuses: [Int: Int] = [:]
    for request in requests {
      var headers = HTTPHeaders()
      for (name, value) in request.headers { headers.add(name, value) }
      let response = try await connection.request(
        HTTPMethod(request.method), prefix + request.path, headers: headers, body: request.body,
        deadline: LoopInstant.current() + timeMax)
      statuses[response.status.code, default: 0] += 1
    }
    return statuses
  }

  private static func sendBySystem(_ requests: [Request], _ base: Base) async throws -> [Int: Int] {
    var statuses: [Int: Int] = [:]
    for request in requests {
      guard let url = URL(string: base.url + request.path) else {
        throw Failure("'\(base.url)' is no address")
      }
      var message = URLRequest(url: url, timeoutInterval: timeMax.inSeconds)
      message.httpMethod = request.method
      if request.method != "GET" { message.httpBody = Data(request.body) }
      for (name, value) in request.headers { message.setValue(value, forHTTPHeaderField: name) }
      let (_, response) = try await URLSession.shared.data(for: message)
      statuses[(response as? HTTPURLResponse)?.statusCode ?? 0, default: 0] += 1
    }
    return statuses
  }
}
