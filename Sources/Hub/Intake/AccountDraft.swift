package import Bytes
package import JSON
package import Platforms
package import Security

/// Checks what somebody wants to connect and makes a new account of it: the platform is known, the
/// credentials are its own and usable, and what the hub can make itself is made.
package struct AccountDraft: Sendable {
  /// What is wrong, for people.
  package struct Fault: Error, Equatable, CustomStringConvertible {
    package let description: String
    /// The field at fault, as in the API.
    package let field: String
  }

  package static let nameBytesMax = 200
  private static let keyBytes = 24

  package let platform: any Platform
  package let name: String
  package let secrets: AccountSecrets
  /// Credentials that were made here; shown once, at creation.
  package let generated: [String: String]

  /// - Parameter credentials: an object of texts or lists of texts; null counts as none.
  package init(platform name: String, name accountName: String, credentials: JSONValue) throws(Fault) {
    guard let platform = PlatformCatalogue.named(name) else {
      let known = PlatformCatalogue.all.map(\.name.rawValue).joined(separator: ", ")
      throw Fault(description: "there is no platform '\(name)'; there is \(known)", field: "platform")
    }
    guard (1...Self.nameBytesMax).contains(accountName.utf8.count) else {
      throw Fault(description: "'name' has to be 1 to \(Self.nameBytesMax) bytes of text", field: "name")
    }
    var secrets = try Self.secrets(credentials, platform)
    let generated = platform.generated(for: secrets) { SecureRandom.bytes($0) }
    for (name, value) in generated { secrets.set(name, [value]) }
    try Self.check(secrets, platform)
    self.platform = platform
    self.name = accountName
    self.secrets = secrets
    self.generated = generated
  }

  /// Reads credentials of a platform, without asking whether they are complete.
  package static func secrets(
    _ json: JSONValue, _ platform: any Platform
  ) throws(Fault) -> AccountSecrets {
    guard let secrets = json.isNull ? AccountSecrets() : AccountSecrets(json: json) else {
      throw Fault(description: "'credentials' has to be an object of texts", field: "credentials")
    }
    let known = platform.credentials.map(\.name) + [AccountSecrets.addressField.name]
    guard let other = secrets.names.first(where: { !known.contains($0) }) else { return secrets }
    throw Fault(
      description:
        "\(platform.displayName) has no credential '\(other)'; it has \(known.joined(separator: ", "))",
      field: "credentials.\(other)")
  }

  /// Asks whether credentials are complete and usable.
  package static func check(_ secrets: AccountSecrets, _ platform: any Platform) throws(Fault) {
    for field in platform.credentials where field.isRequired && secrets[field.name].isEmpty {
      throw Fault(
        description: "the credential '\(field.name)' is missing: \(field.explanation)",
        field: "credentials.\(field.name)")
    }
    if let fault = platform.fault(in: secrets) { throw Fault(description: fault, field: "credentials") }
  }

  /// The row to store, with a new id and a new webhook key.
  package func account(tenant: String, id: UUIDv7, keys: KeyRing) -> NewAccount {
    NewAccount(
      id: id, platform: platform.name.rawValue, name: name, key: SecureRandom.token(byteCount: Self.keyBytes),
      credentials: CredentialSeal.seal(secrets, tenant: tenant, account: id, keys: keys),
      externalID: Self.externalID(in: secrets, platform))
  }

  /// The platform's own id of an account with these credentials; nil: it is not known.
  package static func externalID(in secrets: AccountSecrets, _ platform: any Platform) -> String? {
    platform.accountField.flatMap { secrets[$0].first }.flatMap { $0.isEmpty ? nil : $0 }
  }
}

extension HubConfiguration {
  /// Where a platform sends the webhooks of an account.
  package func webhookURL(platform: String, key: String) -> String {
    "\(baseURL)/webhooks/\(platform)/\(key)"
  }

  /// How the outside reaches the hub, without a slash at the end.
  package var baseURL: String {
    if let publicURL = listen.publicURL { return publicURL }
    let scheme = listen.certificateFile == nil ? "http" : "https"
    let host = ["0.0.0.0", "::", ""].contains(listen.host) ? "localhost" : listen.host
    return "\(scheme)://\(host.contains(":") ? "[\(host)]" : host):\(listen.port)"
  }
}
