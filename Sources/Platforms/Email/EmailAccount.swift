import HTTPWire
import MIME

/// What the accounts of mail providers have in common.
enum EmailAccount {
  static let addressField = "address"

  static let addressCredential = CredentialField(
    addressField,
    "The account's own mail address; several as a list. What comes from it is shown as sent by the account.",
    isSecret: false, isRequired: false, isGenerated: false)

  static func isJSON(_ contentType: String?) -> Bool {
    contentType.map { ParameterizedValue($0).value == "application/json" } ?? false
  }

  /// A form's body with more fields in it, for simulations; those of the same names are replaced in an
  /// urlencoded one. nil: it is no form.
  static func adding(
    _ fields: [(name: String, value: String)], to body: [UInt8], contentType: String?
  ) -> [UInt8]? {
    if FormBody.isNamed(by: contentType) {
      guard var form = try? URLQuery(bytes: body) else { return nil }
      let names = Set(fields.map(\.name))
      form.items.removeAll { names.contains($0.name) }
      form.items += fields.map { URLQuery.Item(name: $0.name, value: $0.value) }
      return Array(form.encoded.utf8)
    }
    guard MultipartForm.isNamed(by: contentType),
      let boundary = contentType.flatMap({ ParameterizedValue($0)["boundary"] })
    else { return nil }
    // The new parts come first: they end where the old first part begins.
    var head = ""
    for (name, value) in fields {
      head += "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n\(value)\r\n"
    }
    return Array(head.utf8) + body
  }
}
