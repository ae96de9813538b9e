/// A request method (RFC 9110 section 9). Open: a method the hub does not know is still a value.
///
/// Methods are case-sensitive: `get` is not `GET`.
package struct HTTPMethod: Sendable, Hashable, CustomStringConvertible {
  package let name: String

  package init(_ name: String) {
    self.name = name
  }

  package static let get = HTTPMethod("GET")
  package static let head = HTTPMethod("HEAD")
  package static let post = HTTPMethod("POST")
  package static let put = HTTPMethod("PUT")
  package static let patch = HTTPMethod("PATCH")
  package static let delete = HTTPMethod("DELETE")
  package static let options = HTTPMethod("OPTIONS")
  package static let connect = HTTPMethod("CONNECT")

  /// The methods a server of the hub reads; any other gets 501.
  package static let served: Set<HTTPMethod> = [.get, .head, .post, .put, .patch, .delete, .options]

  /// Whether doing it twice is the same as doing it once (RFC 9110 section 9.2.2). False for what is unknown.
  package var isIdempotent: Bool {
    [.get, .head, .put, .delete, .options].contains(self)
  }

  package var description: String { name }
}
