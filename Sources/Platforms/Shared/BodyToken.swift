import Bytes
import HTTPWire
import JSON

/// Platforms that say who they are by a member `token` of the body.
enum BodyToken {
  private static let name = "token"

  /// The request with the token in its body, for simulations. nil: the body is neither a form nor an
  /// object.
  static func put(_ token: String, into request: WebhookRequest) -> WebhookRequest? {
    var changed = request
    if FormBody.isNamed(by: request.header("Content-Type")) {
      guard var form = try? URLQuery(bytes: request.body) else { return nil }
      form.items.removeAll { $0.name == name }
      form.items.append(URLQuery.Item(name: name, value: token))
      changed.body = Array(form.encoded.utf8)
    } else {
      guard var members = (try? JSONValue(parsing: request.body))?.object else { return nil }
      members[name] = .string(token)
      changed.body = JSONValue.object(members).encoded()
    }
    return changed
  }
}
