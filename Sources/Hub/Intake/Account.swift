package import Bytes
package import Platforms

/// A connected account as the intake needs it: whose it is and what its webhooks are checked by.
package struct Account: Sendable {
  package let id: UUIDv7
  package let tenant: String
  package let platform: PlatformName
  /// The path element of its webhook URL; empty for an app.
  package let key: String
  /// The platform's own id of it; nil when it is not known or this is an app.
  package let externalID: String?
  /// Whether this is an app, which has no messages of its own: its accounts are found from the payload.
  package let isApp: Bool
  /// Opened credentials; they live in memory only.
  package let secrets: AccountSecrets
  package let isDisabled: Bool
  package let settings: AccountSettings

  package init(
    id: UUIDv7, tenant: String, platform: PlatformName, key: String, externalID: String? = nil,
    isApp: Bool = false, secrets: AccountSecrets, isDisabled: Bool,
    settings: AccountSettings = AccountSettings()
  ) {
    self.id = id
    self.tenant = tenant
    self.platform = platform
    self.key = key
    self.externalID = externalID
    self.isApp = isApp
    self.secrets = secrets
    self.isDisabled = isDisabled
    self.settings = settings
  }
}
