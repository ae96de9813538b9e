import EventLoop
import HTTPClient
import HTTPWire
import Hub

/// Sends requests to a hub, one after the other, and counts the answers.
enum WebhookSender {
  struct Request: Sendable {
    let method: String
    let path: String
    let headers: [(String, String)]
    let body: [UInt8]
  }

  /// Where a hub is: what a request's path is put behind.
  struct Base: Sendable, Equatable {
    let url: String

    init(_ text: String) throws(UsageError) {
      var text = text
      while text.hasSuffix("/") { text.removeLast() }
      do {
        _ = try HTTPURL(text)
      } catch {
        throw UsageError("--url '\(text)' is no http or https address")
      }
      url = text
    }
  }

  private static let timeMax: Duration = .seconds(30)

  /// - Returns: how many answers of each status there were.
  static func send(
    _ requests: [Request], to base: Base, _ outbound: HubConfiguration.Outbound
  ) async throws -> [Int: Int] {
    do {
      return try await Program.onLoop("simulate") { loop in
        let tls = try TLSContext(clientTrusting: outbound.authorityFile, alsoSystem: true)
        var configuration = HTTPClient.Configuration(tls: tls)
        configuration.proxies = outbound.proxies
        let client = HTTPClient(loop: loop, blocking: BlockingPool(), configuration: configuration)
        let statuses = try await send(requests, base, client)
        await client.close()
        return statuses
      }
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure("no hub answers at \(base.url): \(error)")
    }
  }

  private static func send(
    _ requests: [Request], _ base: Base, _ client: HTTPClient
  ) async throws -> [Int: Int] {
    var statuses: [Int: Int] = [:]
    for request in requests {
      var message = try HTTPClientRequest(
        HTTPMethod(request.method), base.url + request.path, body: request.body)
      for (name, value) in request.headers { message.headers.add(name, value) }
      message.timeout = timeMax
      statuses[try await client.send(message).status.code, default: 0] += 1
    }
    return statuses
  }
}
