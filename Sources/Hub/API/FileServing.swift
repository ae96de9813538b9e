import Bytes
import HTTPServer
import HTTPWire
import Messaging

/// Serves files out of the store: whole or in part, and never as something that a browser would run.
package struct FileServing: Sendable {
  /// A file that is there.
  private struct Found {
    let key: String
    let name: String?
    let type: String
    /// Of this content and no other.
    let tag: String
  }

  package let store: HubStore
  package let files: any FileStore
  package let fetching: JobWorker
  package let links: FileLinks
  package let clock: WallClock
  package let relay: EventRelay

  package init(
    store: HubStore, files: any FileStore, fetching: JobWorker, links: FileLinks, clock: WallClock,
    relay: EventRelay
  ) {
    self.store = store
    self.files = files
    self.fetching = fetching
    self.links = links
    self.clock = clock
    self.relay = relay
  }

  /// - Throws: `Problem`, `HubStoreError.notFound`.
  func attachment(
    _ principal: Principal, _ message: UUIDv7, _ position: Int, _ request: HTTPRequest
  ) async throws -> HTTPAnswer {
    let file = try await store.file(principal, message, position)
    switch (file.state, file.key) {
    case ("stored", let key?):
      let tag = "\"\(file.storedAt?.microseconds ?? 0)-\(key.split(separator: "/").last ?? "")\""
      return try await answer(
        Found(key: key, name: file.name, type: FileCheck.served(file.type), tag: tag), request)
    case ("failed", _):
      throw Problem(
        404, "file_unavailable", "The file cannot be had", detail: file.reason ?? "fetching it failed")
    default:
      fetching.wake()
      throw Problem(
        503, "file_not_fetched", "The file is still being fetched",
        detail: "message_update tells when it is there", retryAfterSeconds: 2)
    }
  }

  /// A file that is sent, for the platform that fetches it.
  func published(_ token: String, _ request: HTTPRequest) async throws -> HTTPAnswer {
    guard let file = links.file(token, now: clock.now()) else {
      throw Problem.notFound("the link is none, or it has ended")
    }
    let tag = "\"\(file.key.split(separator: "/").last ?? "")\""
    return try await answer(
      Found(key: file.key, name: file.name, type: FileCheck.served(file.type), tag: tag), request)
  }

  // MARK: Answers

  private func answer(_ file: Found, _ request: HTTPRequest) async throws -> HTTPAnswer {
    let size: Int64?
    do {
      size = try await files.size(file.key)
    } catch {
      throw Problem(503, "unavailable", "The file store cannot be reached", retryAfterSeconds: 5)
    }
    guard let size else {
      throw Problem(404, "file_unavailable", "The file cannot be had", detail: "it is not in the file store")
    }
    var headers = Self.headers(file)
    if Self.names(request.headers["if-none-match"], file.tag) {
      return .response(.empty(.notModified, headers: headers))
    }
    switch Self.range(request, file, size) {
    case .whole: return stream(.ok, headers, file.key, 0..<size)
    case .part(let range):
      headers.set("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)")
      return stream(HTTPStatus(206), headers, file.key, range)
    case .unsatisfiable:
      var response = Problem(416, "range_not_satisfiable", "There is no such part of the file").response()
      response.headers.set("Content-Range", "bytes */\(size)")
      return .response(response)
    }
  }

  private func stream(
    _ status: HTTPStatus, _ headers: HTTPHeaders, _ key: String, _ range: Range<Int64>
  ) -> HTTPAnswer {
    var headers = headers
    headers.set("Content-Length", "\(range.count)")
    let files = files
    return .stream(HTTPResponse(status: status, headers: headers)) { body in
      var start = range.lowerBound
      while start < range.upperBound {
        let part = try await files.read(key, start..<min(range.upperBound, start + Int64(files.sliceBytes)))
        guard !part.isEmpty else { throw FileStoreError.missing }
        try await body.write(part)
        start += Int64(part.count)
      }
    }
  }

  private static func headers(_ file: Found) -> HTTPHeaders {
    let isShown = FileCheck.isShown(file.type)
    return [
      "Content-Type": file.type, "X-Content-Type-Options": "nosniff",
      "Content-Disposition": ContentDisposition.field(isShown ? .inline : .attachment, filename: file.name),
      "Content-Security-Policy": "sandbox; default-src 'none'", "Referrer-Policy": "no-referrer",
      "ETag": file.tag, "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600",
      // A page of another origin may show it; what it may read, CORS says.
      "Cross-Origin-Resource-Policy": "cross-origin",
    ]
  }

  /// A range of another version of the file is answered with the whole (RFC 9110 13.1.5).
  private static func range(_ request: HTTPRequest, _ file: Found, _ size: Int64) -> ByteRange {
    guard request.method == .get || request.method == .head else { return .whole }
    if let condition = request.headers["if-range"], condition != file.tag { return .whole }
    return ByteRange(request.headers["range"], length: size)
  }

  /// Weak comparison (RFC 9110 8.8.3.2); the tags hold no commas.
  private static func names(_ field: String?, _ tag: String) -> Bool {
    guard let field else { return false }
    for member in field.split(separator: ",") {
      let text = String(member.filter { $0 != " " })
      if text == "*" || text == tag || text == "W/\(tag)" { return true }
    }
    return false
  }
}
