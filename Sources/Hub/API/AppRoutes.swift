import HTTPServer
import HTTPWire
import JSON
import Platforms

/// Apps, for administrators of the tenant: what the one webhook URL of a platform verifies by. Secrets go
/// in and never come out.
extension RouteTable {
  mutating func addApps() {
    let parts = parts
    secured(.get, "/api/apps") { call in
      try Self.requireAdministrator(call.principal)
      let records = try await parts.store.appRecords(tenant: call.principal.tenant)
      return .json(.ok, JSONDocument.list(records.map { Self.document($0, parts) }, next: nil))
    }
    secured(.post, "/api/apps") { call in
      try Self.requireAdministrator(call.principal)
      return try await Self.create(call, parts)
    }
    secured(.delete, "/api/apps/{id}") { call in
      try Self.requireAdministrator(call.principal)
      try await parts.store.deleteApp(try call.id("id"), tenant: call.principal.tenant)
      parts.directory.forget("")
      return .empty(.noContent)
    }
  }

  private static func requireAdministrator(_ principal: Principal) throws(Problem) {
    guard principal.roles.contains("admin") else { throw .forbidden }
  }

  private static func create(_ call: APICall, _ parts: HubAPI.Parts) async throws -> HTTPResponse {
    let fields = try call.body()
    try fields.allow(only: ["platform", "name", "credentials"])
    let platform: String = try fields.required("platform")
    let name: String = try fields.required("name")
    let draft: AppDraft
    do throws(AccountDraft.Fault) {
      draft = try AppDraft(platform: platform, name: name, credentials: fields.value("credentials"))
    } catch {
      throw Problem.invalid(error.description, field: error.field)
    }
    let tenant = call.principal.tenant
    let id = parts.ids.next()
    let keys = parts.keys
    try await parts.store.saveApp(
      tenant: tenant, id: id, platform: draft.platform.name.rawValue, name: draft.name, isConfigured: false
    ) { CredentialSeal.seal(draft.secrets, tenant: tenant, account: $0, keys: keys) }
    parts.directory.forget("")
    let record = try await parts.store.appRecords(tenant: tenant).first { $0.id == id }
    guard let record else { throw HubStoreError.notFound }
    return .json(.created, document(record, parts), headers: ["Location": "/api/apps/\(id)"])
  }

  private static func document(_ app: AppRecord, _ parts: HubAPI.Parts) -> [UInt8] {
    var members = app.json.object ?? [:]
    members["webhookUrl"] = .string("\(parts.configuration.baseURL)/webhooks/\(app.platform)")
    return JSONValue.object(members).encoded()
  }
}
