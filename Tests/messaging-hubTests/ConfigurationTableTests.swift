import HTTPClient
import HTTPWire
import Hub
import Testing

@testable import messaging_hub

@Suite("The configuration table")
struct ConfigurationTableTests {
  private func read(_ environment: [String: String], files: [String: String] = [:]) throws -> Settings {
    try ConfigurationTable.read(environment, cores: 2) { path in
      guard let text = files[path] else { throw Failure("no such file") }
      return text
    }
  }

  private func faults(_ environment: [String: String], files: [String: String] = [:]) -> [String] {
    do {
      _ = try read(environment, files: files)
      return []
    } catch {
      return (error as? ConfigurationTable.Fault)?.lines ?? ["\(error)"]
    }
  }

  @Test("everything has a default")
  func defaults() throws {
    let settings = try read([:])
    #expect(settings.hub.listen.port == 3000)
    #expect(settings.hub.shardCount == 2)
    #expect(settings.hub.origins == ["http://localhost:5173"])
    #expect(settings.hub.isDevelopment)
    #expect(settings.dataFolder == ".hub")
    #expect(settings.databaseURL == nil)
    #expect(settings.warnings.isEmpty)
  }

  @Test("an empty variable counts as not set")
  func empty() throws {
    #expect(try read(["PORT": "", "DATABASE_URL": ""]).databaseURL == nil)
  }

  @Test("values are read")
  func values() throws {
    let settings = try read([
      "PORT": "8080", "HOST": "127.0.0.1", "PUBLIC_URL": "https://hub.example.org/", "HUB_SHARDS": "3",
      "FRONTEND_URL": "https://a.example, http://localhost:5173/", "AUTH_TIMEOUT": "2",
      "LIMIT_WEBHOOK": "2M", "LIMIT_CLIENT_QUEUE": "65536", "HUB_LOG": "pretty", "RETENTION_EVENTS": "3",
    ])
    #expect(settings.hub.listen.port == 8080)
    #expect(settings.hub.listen.publicURL == "https://hub.example.org")
    #expect(settings.hub.origins == ["https://a.example", "http://localhost:5173"])
    #expect(settings.hub.authenticationDeadline == .seconds(2))
    #expect(settings.hub.limits.webhookBytesMax == 2 << 20)
    #expect(settings.hub.limits.clientQueueBytesMax == 65_536)
    #expect(settings.logFormat == .pretty)
    #expect(settings.hub.retention.eventDays == 3)
  }

  @Test("proxies are read in either case, the lower one first")
  func proxies() throws {
    let proxies = try read([
      "HTTP_PROXY": "upper:1", "http_proxy": "lower:2", "HTTPS_PROXY": "http://u:p@secure:3",
      "no_proxy": "example.org", "OUTBOUND_CA_FILE": "/ca.pem",
    ]).hub.outbound.proxies
    #expect(proxies.http?.host == "lower")
    #expect(proxies.proxy(for: try HTTPURL("https://a.test/"))?.port == 3)
    #expect(proxies.proxy(for: try HTTPURL("https://api.example.org/")) == nil)
    #expect(faults(["https_proxy": "socks5://user:canary@proxy"]).count == 1)
    #expect(!faults(["https_proxy": "socks5://user:canary@proxy"]).joined().contains("canary"))
  }

  @Test("mirrors of key sets are read in pairs")
  func mirrors() throws {
    let value = "https://a.example/keys=http://127.0.0.1:8080/a, https://b.example/x@y=https://c.example/d"
    #expect(
      try read(["KEY_SET_MIRRORS": value]).hub.keySetMirrors == [
        "https://a.example/keys": "http://127.0.0.1:8080/a", "https://b.example/x@y": "https://c.example/d",
      ])
  }

  @Test(
    "a value that is none is refused and says what to set",
    arguments: [
      ("PORT", "http"), ("PORT", "65536"), ("PORT", "-1"), ("HUB_ENV", "prod"), ("HUB_LOG", "xml"),
      ("HUB_LOG_LEVEL", "loud"), ("PUBLIC_URL", "hub.example.org"), ("FRONTEND_URL", "http://a/b"),
      ("FRONTEND_URL", ","), ("LIMIT_WEBHOOK", "0"), ("LIMIT_WEBHOOK", "10X"), ("LIMIT_GROUP", "0"),
      ("SESSION_COOKIE", "a b"), ("SESSION_COOKIE", "token"),
      ("AUTH_TIMEOUT", "0"), ("LIMIT_WEBHOOK", "99999999999999999999G"), ("HUB_SHARDS", "1e3"),
      ("KEY_SET_MIRRORS", "https://a.example/keys"), ("KEY_SET_MIRRORS", "a=http://b.example"),
      ("KEY_SET_MIRRORS", ","), ("KEY_SET_MIRRORS", "https://a.example=https://"),
      ("KEY_SET_MIRRORS", "https://a.example=http://b,https://a.example=http://c"),
    ])
  func refused(name: String, value: String) {
    let lines = faults([name: value])
    #expect(lines.count == 1)
    #expect(lines.first?.hasPrefix("\(name) is ") == true)
  }

  @Test("all faults are reported at once")
  func several() {
    #expect(faults(["PORT": "x", "HUB_LOG": "y", "TLS_CERT": "c.pem"]).count == 3)
  }

  @Test("production needs its secrets")
  func production() throws {
    let lines = faults(["HUB_ENV": "production"])
    #expect(lines.contains { $0.contains("JWT_SECRET") })
    #expect(lines.contains { $0.contains("ENCRYPTION_KEY") })
    let key = String(repeating: "ab", count: 32)
    #expect(faults(["HUB_ENV": "production", "JWT_SECRET": "short", "ENCRYPTION_KEY": key]).count == 1)
    let settings = try read(["HUB_ENV": "production", "JWT_SECRET": key, "ENCRYPTION_KEY": key])
    #expect(settings.isProduction)
  }

  @Test("a secret may stand in a file")
  func files() throws {
    let settings = try read(["JWT_SECRET_FILE": "/run/secret"], files: ["/run/secret": "  from a file \n"])
    #expect(settings.tokenSecret == "from a file")
    #expect(faults(["JWT_SECRET_FILE": "/nowhere"]).first?.contains("/nowhere") == true)
    #expect(faults(["JWT_SECRET_FILE": "/empty"], files: ["/empty": "\n"]).count == 1)
    let twice = faults(
      ["JWT_SECRET": "planted", "JWT_SECRET_FILE": "/run/secret"], files: ["/run/secret": "x"])
    #expect(twice.count == 1)
    #expect(!twice.joined().contains("planted"))
  }

  @Test("a file is read for secrets only")
  func noFile() throws {
    #expect(try read(["PORT_FILE": "/nowhere"]).hub.listen.port == 3000)
  }

  @Test("a variable of ours that is unknown is warned of")
  func unknown() throws {
    let warnings = try read(["HUB_PORT": "1", "HUB_DATA": "/d", "OTHER": "x"]).warnings
    #expect(warnings.count == 1)
    #expect(warnings.first?.contains("HUB_PORT") == true)
  }

  @Test("no secret is printed")
  func redacted() {
    var environment: [String: String] = [:]
    for variable in ConfigurationTable.variables where variable.isSecret {
      environment[variable.name] = "planted-canary"
    }
    #expect(!ConfigurationTable.rows(environment).joined().joined(separator: " ").contains("canary"))
    #expect(!faults(environment.merging(["PORT": "x"]) { $1 }).joined().contains("canary"))
  }

  @Test("names are unique and the table is documented")
  func table() {
    let names = ConfigurationTable.variables.map(\.name)
    #expect(Set(names).count == names.count)
    for variable in ConfigurationTable.variables {
      #expect(!variable.doc.isEmpty)
      #expect(!variable.doc.contains("|"))
      #expect(ConfigurationTable.markdown.contains("`\(variable.name)`"))
    }
  }
}
