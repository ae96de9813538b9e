package import HTTPWire
import JSON

/// An error answer in the form of RFC 9457, with a `code` that clients can rely on.
package struct Problem: Error, Sendable, Equatable {
  package let status: Int
  /// Stable; documented in the README.
  package let code: String
  package let title: String
  package let detail: String?
  /// The field of the request that is at fault.
  package let field: String?
  /// Seconds after which trying again makes sense; nil: no header.
  package let retryAfterSeconds: Int?

  package init(
    _ status: Int, _ code: String, _ title: String, detail: String? = nil, field: String? = nil,
    retryAfterSeconds: Int? = nil
  ) {
    self.status = status
    self.code = code
    self.title = title
    self.detail = detail
    self.field = field
    self.retryAfterSeconds = retryAfterSeconds
  }

  package static let unauthorized = Problem(401, "unauthorized", "A valid bearer token is needed")
  package static let badSignature = Problem(
    401, "bad_signature", "The signature of this webhook is not valid")
  package static let forbidden = Problem(403, "forbidden", "This is not allowed for your role")
  package static let overloaded = Problem(
    503, "overloaded", "The hub has more work than it can queue", retryAfterSeconds: 2)
  package static let unavailable = Problem(
    503, "unavailable", "The hub cannot reach its database", retryAfterSeconds: 5)

  package static let conflict = Problem(
    409, "conflict", "This is there already",
    detail: "an account with the platform's own id of these credentials is connected")
  package static let suspended = Problem(403, "tenant_suspended", "This tenant is suspended")
  package static let methodNotAllowed = Problem(405, "method_not_allowed", "This path has other methods")
  package static let invalidCursor = Problem(
    400, "invalid_cursor", "The cursor is not one of this list", field: "cursor")
  package static let internalFault = Problem(500, "internal", "The hub failed; the log says more")

  package static func notFound(_ detail: String) -> Problem {
    Problem(404, "not_found", "Not found", detail: detail)
  }

  package static func invalid(_ detail: String, field: String? = nil) -> Problem {
    Problem(400, "invalid_request", "The request is not valid", detail: detail, field: field)
  }

  package func response(requestID: String? = nil) -> HTTPResponse {
    var members: [String: JSONValue] = [
      "type": .string("about:blank"), "title": .string(title), "status": .integer(Int64(status)),
      "code": .string(code),
    ]
    if let detail { members["detail"] = .string(detail) }
    if let field { members["field"] = .string(field) }
    if let requestID { members["requestId"] = .string(requestID) }
    var response = HTTPResponse.bytes(
      HTTPStatus(status), JSONValue.object(members).encoded(), type: "application/problem+json")
    if let retryAfterSeconds { response.headers.set("retry-after", "\(retryAfterSeconds)") }
    if status == 401 { response.headers.set("www-authenticate", "Bearer") }
    return response
  }
}
