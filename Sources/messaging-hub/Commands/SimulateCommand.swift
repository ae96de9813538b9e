import Bytes
import Hub
import JSON
import Platforms
import Security

/// `messaging-hub simulate`.
struct SimulateCommand: Command {
  static let name = "simulate"
  static let summary = "Signs samples of a platform and sends them to a running hub."
  static let synopsis = "<platform> <sample>... [options]"
  static let notes = """
    The samples are those under Webhooks/<platform>/samples; a wrong name lists them. Several are sent in the
    order in which they are given. Without --account the first account of the platform is used, and its secret
    is read from the database. With --body a sample gives the headers and the file what is said.
    """
  static let options = [
    OptionSpecification("url", "URL", "the hub; the one on this machine when it is not given"),
    OptionSpecification("account", "KEY", "the account's key, the last part of its webhook URL"),
    OptionSpecification("app", "ID", "sends to the one URL of this app, signed with its secrets"),
    OptionSpecification(
      "secret", "SECRET", "the account's webhook secret; with --account no database is needed"),
    OptionSpecification("count", "N", "sends it N times with ids of their own"),
    OptionSpecification("duplicate", "N", "sends each one N times"),
    OptionSpecification("reorder", nil, "sends in random order"),
    OptionSpecification(
      "body", "PATH", "sends this file's bytes instead of the sample's body, or each file's of this folder"),
    OptionSpecification("bad-signature", nil, "spoils the signature; each answer has to be 401"),
  ]
  static let positionalsMax = 1_001

  private struct Target: Sendable {
    /// As the platform knows the hub: some sign the URL.
    let baseURL: String
    /// nil: the URL of an app.
    let key: String?
    let secrets: AccountSecrets
  }

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let (platform, named) = try chosen(arguments)
    let samples = try arguments["body"].map { try SimulatedBodies.samples(of: named, from: $0) } ?? named
    let count = try arguments.integer("count", in: 1...100_000, default: 1)
    let duplicates = try arguments.integer("duplicate", in: 1...1_000, default: 1)
    let settings = try program.settings()
    let base = try WebhookSender.Base(arguments["url"] ?? localURL(settings))
    let target = try await target(arguments, platform, settings)
    let spoil = arguments.has("bad-signature")
    var requests: [WebhookSender.Request] = []
    var unsigned = 0
    for sample in samples {
      for number in 0..<count {
        if let request = request(sample.varied(number), platform, target, spoil: spoil) {
          requests += Array(repeating: request, count: duplicates)
        } else {
          unsigned += 1
        }
      }
    }
    // Some platforms put their proof into the body, where not every body has a place for it.
    guard unsigned == 0 || arguments["body"] != nil else {
      throw Failure("the secrets of this account cannot sign; see Webhooks/\(platform.name)/README.md")
    }
    if arguments.has("reorder") { requests.shuffle() }
    let statuses = try await WebhookSender.send(requests, to: base, settings.hub.outbound)
    try report(statuses, unsigned: unsigned, spoil: spoil)
  }

  private static func report(_ statuses: [Int: Int], unsigned: Int, spoil: Bool) throws(Failure) {
    var rows = statuses.sorted { $0.key < $1.key }.map { ["\($0.value)", "answered \($0.key)"] }
    if unsigned > 0 { rows.append(["\(unsigned)", "not sent: they cannot be signed"]) }
    Console.table(rows)
    let expected: ClosedRange<Int> = spoil ? 401...401 : 200...299
    let others = statuses.filter { !expected.contains($0.key) }.values.reduce(0, +)
    guard others == 0 else {
      let all = statuses.values.reduce(0, +)
      throw Failure("\(others) of \(all) were answered otherwise than with \(spoil ? "401" : "2xx")")
    }
  }

  private static func chosen(_ arguments: Arguments) throws(UsageError) -> (any Platform, [WebhookSample]) {
    let name = try arguments.positional(0, "<platform>")
    guard let platform = PlatformCatalogue.named(name) else {
      let known = PlatformCatalogue.all.map(\.name.rawValue).joined(separator: ", ")
      throw UsageError("there is no platform '\(name)'; there is: \(known)")
    }
    let names = WebhookSamples.names(platform: name).joined(separator: ", ")
    guard arguments.positionals.count > 1 else { throw UsageError("<sample> is missing; there is: \(names)") }
    let samples = try arguments.positionals.dropFirst().map { word throws(UsageError) in
      guard let text = WebhookSamples.sample(platform: name, name: word) else {
        throw UsageError("\(name) has no sample '\(word)'; there is: \(names)")
      }
      guard let sample = WebhookSample(parsing: text) else {
        throw UsageError("the sample '\(word)' has no request with a body")
      }
      return sample
    }
    return (platform, samples)
  }

  /// The hub of these settings, from this machine.
  private static func localURL(_ settings: Settings) -> String {
    let listen = settings.hub.listen
    let host = ["0.0.0.0", "::", ""].contains(listen.host) ? "127.0.0.1" : listen.host
    return "\(listen.certificateFile == nil ? "http" : "https")://\(host):\(listen.port)"
  }

  private static func target(
    _ arguments: Arguments, _ platform: any Platform, _ settings: Settings
  ) async throws -> Target {
    let key = arguments["account"]
    guard arguments["app"] == nil || key == nil else { throw UsageError("--app goes without --account") }
    if let secret = arguments["secret"] {
      guard let key else { throw UsageError("--secret goes with --account") }
      guard let field = platform.credentials.first(where: { $0.isSecret }) else {
        return Target(baseURL: settings.hub.baseURL, key: key, secrets: .init())
      }
      return Target(baseURL: settings.hub.baseURL, key: key, secrets: AccountSecrets([field.name: [secret]]))
    }
    let keys = try SecretStore(settings).secrets(settings).keys
    let name = platform.name.rawValue
    let app = arguments["app"]
    return try await CommandDatabase.withStore(settings) { store, _ in
      if let app {
        guard let found = try await store.apps(platform.name, keys: keys).first(where: { "\($0.id)" == app })
        else { throw Failure("no app of \(name) has the id '\(app)'") }
        return Target(baseURL: settings.hub.baseURL, key: nil, secrets: found.secrets)
      }
      var chosen = key
      if chosen == nil {
        chosen = try await store.allAccounts(tenant: nil).first { $0.record.platform == name }?.record.key
      }
      guard let chosen else {
        throw Failure(
          "no account of \(name) is connected; connect one with: messaging-hub account add \(name) --user ID")
      }
      guard let account = try await store.account(key: chosen, keys: keys), account.platform == platform.name
      else {
        throw Failure("no account of \(name) has the key '\(chosen)'; see: messaging-hub account list")
      }
      return Target(baseURL: settings.hub.baseURL, key: chosen, secrets: account.secrets)
    }
  }

  /// nil: it cannot be signed with the target's secrets.
  private static func request(
    _ sample: WebhookSample, _ platform: any Platform, _ target: Target, spoil: Bool
  ) -> WebhookSender.Request? {
    let path = "/webhooks/\(platform.name)" + (target.key.map { "/\($0)" } ?? "")
    let plain = sample.request(url: target.baseURL + path)
    let id = "msg_\(SecureRandom.token(byteCount: 16))"
    guard let signed = platform.signed(plain, secrets: target.secrets, now: .current, id: id) else {
      return nil
    }
    let request = spoil ? spoiled(signed, unlike: plain) : signed
    return WebhookSender.Request(
      method: request.method,
      path: path + sample.subpath + (request.query.isEmpty ? "" : "?\(request.query)"),
      headers: request.headers.map { ($0.name, $0.value) }, body: request.body)
  }

  /// The request with another signature, wherever the scheme has put it.
  private static func spoiled(_ signed: WebhookRequest, unlike plain: WebhookRequest) -> WebhookRequest {
    var request = signed
    if signed.headers != plain.headers {
      request.headers = signed.headers.map { header in
        plain.headers.contains(header) ? header : WebhookHeader(header.name, spoiled(header.value))
      }
    } else if signed.query != plain.query {
      request.query = spoiled(signed.query)
    } else {
      request.body = Array(spoiled(String(decoding: signed.body, as: UTF8.self)).utf8)
    }
    return request
  }

  /// Another value of the same form.
  private static func spoiled(_ value: String) -> String {
    guard let index = value.lastIndex(where: { $0.isLetter || $0.isNumber }) else { return value + "x" }
    var spoiled = value
    let other = value[index].isNumber ? (value[index] == "1" ? "2" : "1") : (value[index] == "a" ? "b" : "a")
    spoiled.replaceSubrange(index...index, with: other)
    return spoiled
  }
}
