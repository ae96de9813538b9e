import Bytes

extension AccountSecrets {
  /// The credential that names another server than the platform's own: a self-hosted one, a regional one,
  /// one for tests. Any account may have it.
  package static let addressField = CredentialField(
    "apiURL", "Where the platform's API is, when it is not at the usual place.", isSecret: false,
    isRequired: false, isGenerated: false)

  /// The newest value; nil when there is none or it is empty.
  func first(_ name: String) -> String? { self[name].first.flatMap { $0.isEmpty ? nil : $0 } }

  /// Where calls go, without a slash at the end.
  func apiURL(_ usual: String) -> String {
    var address = first(Self.addressField.name) ?? usual
    while address.hasSuffix("/") { address.removeLast() }
    return address
  }
}
