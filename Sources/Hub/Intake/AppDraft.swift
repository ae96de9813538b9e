package import JSON
package import Platforms

/// Checks what an app is to verify by.
package struct AppDraft: Sendable {
  package let platform: any Platform
  package let name: String
  package let secrets: AccountSecrets

  package init(
    platform name: String, name appName: String, credentials: JSONValue
  ) throws(AccountDraft.Fault) {
    guard let platform = PlatformCatalogue.named(name), !platform.appCredentials.isEmpty else {
      let known = PlatformCatalogue.all.filter { !$0.appCredentials.isEmpty }.map(\.name.rawValue)
      throw AccountDraft.Fault(
        description: "no app of '\(name)' can have one webhook URL for all its accounts; "
          + "there are apps of: \(known.joined(separator: ", "))", field: "platform")
    }
    guard (1...AccountDraft.nameBytesMax).contains(appName.utf8.count) else {
      throw AccountDraft.Fault(
        description: "'name' has to be 1 to \(AccountDraft.nameBytesMax) bytes of text", field: "name")
    }
    let secrets = try AccountDraft.secrets(credentials, platform)
    let wanted = platform.appCredentials
    if let other = secrets.names.first(where: { !wanted.contains($0) }) {
      throw AccountDraft.Fault(
        description:
          "the credential '\(other)' is an account's; an app has \(wanted.joined(separator: ", "))",
        field: "credentials.\(other)")
    }
    guard secrets.names.contains(where: { !secrets[$0].isEmpty }) else {
      throw AccountDraft.Fault(
        description: "an app needs \(wanted.joined(separator: " or "))", field: "credentials")
    }
    self.platform = platform
    self.name = appName
    self.secrets = secrets
  }
}

/// An app that the configuration names.
package struct ConfiguredApp: Sendable {
  package let tenant: String
  package let draft: AppDraft

  /// Reads a list of `{"platform", "name", "tenant", "credentials"}`; `tenant` may be missing.
  /// - Throws: the first fault, with the place in the list.
  package static func list(parsing bytes: [UInt8]) throws(AccountDraft.Fault) -> [ConfiguredApp] {
    guard let entries = (try? JSONValue(parsing: bytes))?.array else {
      throw AccountDraft.Fault(description: "it is not a JSON list of apps", field: "")
    }
    var apps: [ConfiguredApp] = []
    for (index, entry) in entries.enumerated() {
      do throws(AccountDraft.Fault) {
        let draft = try AppDraft(
          platform: entry["platform"]?.string ?? "", name: entry["name"]?.string ?? "configured",
          credentials: entry["credentials"] ?? .null)
        apps.append(ConfiguredApp(tenant: entry["tenant"]?.string ?? "default", draft: draft))
      } catch {
        throw AccountDraft.Fault(description: "app \(index + 1): \(error)", field: error.field)
      }
    }
    return apps
  }
}
