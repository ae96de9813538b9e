import HTTPWire
import JSON
import Messaging

/// Bodies of type `application/x-www-form-urlencoded`, read like JSON objects of texts.
enum FormBody {
  private static let fieldsMax = 1_000

  /// Of several values of a name the first. U+0000 becomes U+FFFD.
  static func reader(_ body: [UInt8]) throws(NormaliseError) -> JSONReader {
    guard let form = try? URLQuery(bytes: body, itemsMax: fieldsMax), !form.items.isEmpty else {
      throw .wrongBody(expected: "a form")
    }
    var members: [String: JSONValue] = [:]
    for item in form.items where members[item.name] == nil {
      members[MessageText.sanitised(item.name, bytesMax: .max)] = .string(
        MessageText.sanitised(item.value, bytesMax: .max))
    }
    return JSONReader(members)
  }

  /// Whether a content type says that a body is a form.
  static func isNamed(by contentType: String?) -> Bool {
    contentType?.lowercased().hasPrefix("application/x-www-form-urlencoded") ?? false
  }
}
