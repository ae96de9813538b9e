package import HTTPWire

/// The values of a pattern's `{name}` segments, percent-decoded.
package struct RouteParameters: Sendable, Equatable {
  private let names: [String]
  private let values: [String]

  init(names: [String], values: [String]) {
    self.names = names
    self.values = values
  }

  package static let none = RouteParameters(names: [], values: [])

  package subscript(name: String) -> String? {
    names.firstIndex(of: name).map { values[$0] }
  }
}

/// One entry of a router: what is called for a method and a pattern.
package struct Route<Context: Sendable>: Sendable {
  package typealias Handler = @Sendable (HTTPRequest, RouteParameters, Context) async -> HTTPAnswer

  package let method: HTTPMethod
  /// As it was written, `/api/conversations/{id}`: the label for metrics.
  package let pattern: String
  package let bodyBytesMax: Int
  package let handler: Handler
  fileprivate let parameterNames: [String]
}

/// What a router knows about a request.
package enum RouteMatch<Context: Sendable>: Sendable {
  case found(Route<Context>, RouteParameters)
  /// The path is known, the method is not. `allowed` is what the Allow field says.
  case methodNotAllowed(allowed: [HTTPMethod], pattern: String)
  case notFound
}

/// Collects routes and freezes them into a router.
package struct RouterBuilder<Context: Sendable> {
  fileprivate var nodes = [RouteNode<Context>()]

  package init() {}

  /// Adds a route. GET answers HEAD too, unless HEAD has a route of its own.
  ///
  /// - Parameters:
  ///   - pattern: begins with `/`; a segment is a text or `{name}`, which matches one segment that is
  ///     not empty; a last segment `{name...}` matches the rest of the path. Texts win over names.
  ///   - bodyBytesMax: the most bytes a request body may have.
  /// - Precondition: the pattern is well formed, and new for this method.
  package mutating func on(
    _ method: HTTPMethod, _ pattern: String, bodyBytesMax: Int = 64 * 1024,
    _ handler: @escaping Route<Context>.Handler
  ) {
    precondition(pattern.hasPrefix("/"), "a route pattern begins with a slash: \(pattern)")
    var node = 0
    var names: [String] = []
    var isOpenEnded = false
    for segment in pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      precondition(!isOpenEnded, "only the last segment may be open: \(pattern)")
      if segment.hasPrefix("{") && segment.hasSuffix("...}") {
        names.append(String(segment.dropFirst().dropLast(4)))
        isOpenEnded = true
        node = child(of: node, \.rest)
      } else if segment.hasPrefix("{") && segment.hasSuffix("}") {
        names.append(String(segment.dropFirst().dropLast()))
        node = child(of: node, \.parameter)
      } else {
        node = child(of: node, \.literals[String(segment)])
      }
    }
    let route = Route(
      method: method, pattern: pattern, bodyBytesMax: bodyBytesMax, handler: handler, parameterNames: names)
    let previous = nodes[node].routes.updateValue(route, forKey: method)
    precondition(previous == nil, "two routes for \(method) \(pattern)")
  }

  private mutating func child(of node: Int, _ edge: WritableKeyPath<RouteNode<Context>, Int?>) -> Int {
    if let existing = nodes[node][keyPath: edge] { return existing }
    nodes.append(RouteNode())
    nodes[node][keyPath: edge] = nodes.count - 1
    return nodes.count - 1
  }

  package func build() -> Router<Context> {
    Router(nodes: nodes)
  }
}

private struct RouteNode<Context: Sendable>: Sendable {
  var literals: [String: Int] = [:]
  var parameter: Int?
  var rest: Int?
  var routes: [HTTPMethod: Route<Context>] = [:]
}

/// Finds the handler of a request. Immutable, so it is shared by all loops.
package struct Router<Context: Sendable>: Sendable {
  private static var segmentsMax: Int { 32 }

  private let nodes: [RouteNode<Context>]

  fileprivate init(nodes: [RouteNode<Context>]) {
    self.nodes = nodes
  }

  /// Matches segment by segment on the raw path, so an encoded slash stays inside its segment.
  package func match(_ head: HTTPRequestHead) -> RouteMatch<Context> {
    guard head.rawPath.hasPrefix("/") else { return .notFound }
    var segments: [String] = []
    for segment in head.rawPath.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      guard segments.count < Self.segmentsMax else { return .notFound }
      guard let decoded = PercentEncoding.decode(segment) else { return .notFound }
      segments.append(decoded)
    }
    var values: [String] = []
    guard let node = find(0, segments[...], &values) else { return .notFound }
    return choose(nodes[node].routes, head.method, values)
  }

  private func choose(
    _ routes: [HTTPMethod: Route<Context>], _ method: HTTPMethod, _ values: [String]
  ) -> RouteMatch<Context> {
    if let route = routes[method] ?? (method == .head ? routes[.get] : nil) {
      return .found(route, RouteParameters(names: route.parameterNames, values: values))
    }
    var allowed = Set(routes.keys)
    if allowed.contains(.get) { allowed.insert(.head) }
    allowed.insert(.options)
    let sorted = allowed.sorted { $0.name < $1.name }
    return .methodNotAllowed(allowed: sorted, pattern: routes.values.map(\.pattern).min() ?? "")
  }

  /// Depth first: a text before a name before an open end. A dead end goes back.
  private func find(_ node: Int, _ segments: ArraySlice<String>, _ values: inout [String]) -> Int? {
    guard let segment = segments.first else { return nodes[node].routes.isEmpty ? nil : node }
    if let next = nodes[node].literals[segment], let found = find(next, segments.dropFirst(), &values) {
      return found
    }
    if let next = nodes[node].parameter, !segment.isEmpty {
      values.append(segment)
      if let found = find(next, segments.dropFirst(), &values) { return found }
      values.removeLast()
    }
    guard let next = nodes[node].rest else { return nil }
    values.append(segments.joined(separator: "/"))
    return next
  }

  /// The body limit of a request; without a route `other`, so that the answer can be 404 or 405.
  package func bodyBytesMax(_ head: HTTPRequestHead, other: Int = 64 * 1024) -> Int {
    guard case .found(let route, _) = match(head) else { return other }
    return route.bodyBytesMax
  }

  /// The pattern of a request, nil where nothing matches.
  package func label(_ head: HTTPRequestHead) -> String? {
    switch match(head) {
    case .found(let route, _): route.pattern
    case .methodNotAllowed(_, let pattern): pattern
    case .notFound: nil
    }
  }

  private enum Resolution {
    case call(Route<Context>.Handler, RouteParameters)
    case answer(HTTPResponse)
  }

  /// Calls the handler, or answers 404, 405 with Allow, or OPTIONS by itself.
  package func answer(_ request: HTTPRequest, _ context: Context) async -> HTTPAnswer {
    switch resolve(request.head) {
    case .call(let handler, let parameters): await handler(request, parameters, context)
    case .answer(let response): .response(response)
    }
  }

  /// Apart from `answer`, whose task would keep the memory that this needs.
  @inline(never)
  private func resolve(_ head: HTTPRequestHead) -> Resolution {
    switch match(head) {
    case .found(let route, let parameters):
      return .call(route.handler, parameters)
    case .methodNotAllowed(let allowed, _):
      let allow: HTTPHeaders = ["Allow": allowed.map(\.name).joined(separator: ", ")]
      if head.method == .options { return .answer(.empty(.noContent, headers: allow)) }
      return .answer(HTTPProblem.response(.methodNotAllowed, code: "method_not_allowed", headers: allow))
    case .notFound:
      if head.method == .options && head.rawPath == "*" { return .answer(.empty(.noContent)) }
      return .answer(HTTPProblem.response(.notFound, code: "not_found"))
    }
  }
}
