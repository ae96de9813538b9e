package import Bytes
package import Platforms

/// A connected account as the intake needs it: whose it is and what its webhooks are checked by.
package struct Account: Sendable {
  package let id: UUIDv7
  package let tenant: String
  package let platform: PlatformName
  /// The path element of its webhook URL.
  package let key: String
  /// Opened credentials; they live in memory only.
  package let secrets: AccountSecrets
  package let isDisabled: Bool

  package init(
    id: UUIDv7, tenant: String, platform: PlatformName, key: String, secrets: AccountSecrets,
    isDisabled: Bool
  ) {
    self.id = id
    self.tenant = tenant
    self.platform = platform
    self.key = key
    self.secrets = secrets
    self.isDisabled = isDisabled
  }
}
