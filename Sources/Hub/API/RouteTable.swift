import EventLoop
import HTTPServer
import HTTPWire
import JSON
import Postgres
import Telemetry

/// Collects the routes of the hub. What all handlers have in common stands here: who calls, whether
/// the user's row is there, and what becomes of an error.
struct RouteTable {
  typealias Handler = @Sendable (APICall) async throws -> HTTPResponse

  /// Bytes of a body where none is expected.
  static let noBodyMax = 4_096

  let parts: HubAPI.Parts
  let users: KnownUsers
  private var builder = RouterBuilder<RequestID>()

  init(parts: HubAPI.Parts, users: KnownUsers) {
    self.parts = parts
    self.users = users
  }

  func router() -> Router<RequestID> { builder.build() }

  /// A route that anybody may call.
  mutating func open(
    _ method: HTTPMethod, _ pattern: String, bodyBytesMax: Int = noBodyMax,
    _ handler: @escaping @Sendable (HTTPRequest, RouteParameters, RequestID) async -> HTTPResponse
  ) {
    builder.on(method, pattern, bodyBytesMax: bodyBytesMax) { request, parameters, id in
      .response(await handler(request, parameters, id))
    }
  }

  /// A route that needs a bearer token.
  /// - Parameter bodyBytesMax: nil: as configured for requests.
  mutating func secured(
    _ method: HTTPMethod, _ pattern: String, bodyBytesMax: Int? = nil, _ handler: @escaping Handler
  ) {
    let parts = parts
    let users = users
    let takesBody = method != .get && method != .delete
    builder.on(
      method, pattern,
      bodyBytesMax: bodyBytesMax ?? (takesBody ? parts.configuration.limits.requestBytesMax : Self.noBodyMax)
    ) { request, parameters, id in
      do {
        let principal = try await Self.principal(request, parts, users)
        let query = try Self.query(request)
        let call = APICall(request: request, parameters: parameters, principal: principal, query: query)
        return .response(try await handler(call))
      } catch {
        return .response(Self.response(to: error, request, id, parts.log))
      }
    }
  }

  /// A route that says itself who may call it, and may answer with a stream.
  mutating func answered(
    _ method: HTTPMethod, _ pattern: String,
    _ handler: @escaping @Sendable (HTTPRequest, RouteParameters) async throws -> HTTPAnswer
  ) {
    let log = parts.log
    builder.on(method, pattern, bodyBytesMax: Self.noBodyMax) { request, parameters, id in
      do {
        return try await handler(request, parameters)
      } catch {
        return .response(Self.response(to: error, request, id, log))
      }
    }
  }

  static func query(_ request: HTTPRequest) throws(Problem) -> URLQuery {
    do {
      return try request.head.query()
    } catch {
      throw .invalid("the query is not readable")
    }
  }

  static func principal(
    _ request: HTTPRequest, _ parts: HubAPI.Parts, _ users: KnownUsers
  ) async throws -> Principal {
    guard let token = HandshakeToken.bearer(request.headers["authorization"]) else {
      throw Problem.unauthorized
    }
    let principal: Principal
    do {
      principal = try parts.tokens.verify(token, now: parts.clock.now())
    } catch {
      throw Problem(401, "unauthorized", Problem.unauthorized.title, detail: error.description)
    }
    let now = parts.loop.now
    if !users.contains(principal, now: now) {
      _ = try await parts.store.openUser(principal)
      users.insert(principal, now: now)
    }
    return principal
  }

  private static func response(
    to error: any Error, _ request: HTTPRequest, _ id: RequestID, _ log: Logger
  ) -> HTTPResponse {
    let problem = problem(error)
    if problem.status >= 500 {
      log.warning(
        "a request failed", event: "api.failed",
        [
          "request_id": .string(id.description), "method": .string(request.method.name),
          "error": .string("\(error)"),
        ])
    }
    return problem.response(requestID: id.description)
  }

  private static func problem(_ error: any Error) -> Problem {
    switch error {
    case let problem as Problem: problem
    case HubStoreError.notFound: .notFound("there is nothing of this id")
    case HubStoreError.suspended: .suspended
    case let refusal as IngestWriter.Refusal: refusal == .overloaded ? .overloaded : .unavailable
    case let fault as PostgresError: problem(fault)
    default: .internalFault
    }
  }

  private static func problem(_ fault: PostgresError) -> Problem {
    // The functions say "no such row" with this state.
    if fault.sqlState == "P0002" { return .notFound("there is nothing of this id") }
    if fault.sqlState == "23505" { return .conflict }
    if fault.code == .poolExhausted { return .overloaded }
    if fault.isRetryable || fault.code == .closed { return .unavailable }
    return .internalFault
  }
}
