import Bytes
import Hub
import JSON
import Platforms
import Security

/// `messaging-hub simulate`.
struct SimulateCommand: Command {
  static let name = "simulate"
  static let summary = "Signs a sample of a platform and sends it to a running hub."
  static let synopsis = "<platform> <sample> [options]"
  static let notes = """
    The samples are those under Webhooks/<platform>/samples; a wrong name lists them. Without --account the
    first account of the platform is used, and its secret is read from the database.
    """
  static let options = [
    OptionSpecification("url", "URL", "the hub; the one on this machine when it is not given"),
    OptionSpecification("account", "KEY", "the account's key, the last part of its webhook URL"),
    OptionSpecification(
      "secret", "SECRET", "the account's webhook secret; with --account no database is needed"),
    OptionSpecification("count", "N", "sends it N times with ids of their own"),
    OptionSpecification("duplicate", "N", "sends each one N times"),
    OptionSpecification("reorder", nil, "sends in random order"),
    OptionSpecification("bad-signature", nil, "spoils the signature; each answer has to be 401"),
  ]
  static let positionalsMax = 2

  private struct Target: Sendable {
    /// As the platform knows the hub: some sign the URL.
    let baseURL: String
    let key: String
    let secrets: AccountSecrets
  }

  static func run(_ arguments: Arguments, _ program: Program) async throws {
    let (platform, sample) = try chosen(arguments)
    let count = try arguments.integer("count", in: 1...100_000, default: 1)
    let duplicates = try arguments.integer("duplicate", in: 1...1_000, default: 1)
    let settings = try program.settings()
    let base = try WebhookSender.Base(arguments["url"] ?? localURL(settings))
    let target = try await target(arguments, platform, settings)
    let spoil = arguments.has("bad-signature")
    var requests: [WebhookSender.Request] = []
    for number in 0..<count {
      let request = try request(sample.varied(number), number, platform, target, spoil: spoil)
      requests += Array(repeating: request, count: duplicates)
    }
    if arguments.has("reorder") { requests.shuffle() }
    let statuses = try await WebhookSender.send(requests, to: base)
    Console.table(statuses.sorted { $0.key < $1.key }.map { ["\($0.value)", "answered \($0.key)"] })
    let expected: ClosedRange<Int> = spoil ? 401...401 : 200...299
    let others = statuses.filter { !expected.contains($0.key) }
    guard others.isEmpty else {
      let count = others.values.reduce(0, +)
      let wanted = spoil ? "401" : "2xx"
      throw Failure("\(count) of \(requests.count) were answered otherwise than with \(wanted)")
    }
  }

  private static func chosen(_ arguments: Arguments) throws(UsageError) -> (any Platform, WebhookSample) {
    let name = try arguments.positional(0, "<platform>")
    guard let platform = PlatformCatalogue.named(name) else {
      let known = PlatformCatalogue.all.map(\.name.rawValue).joined(separator: ", ")
      throw UsageError("there is no platform '\(name)'; there is: \(known)")
    }
    let names = WebhookSamples.names(platform: name).joined(separator: ", ")
    guard arguments.positionals.count > 1 else { throw UsageError("<sample> is missing; there is: \(names)") }
    guard let text = WebhookSamples.sample(platform: name, name: arguments.positionals[1]) else {
      throw UsageError("\(name) has no sample '\(arguments.positionals[1])'; there is: \(names)")
    }
    guard let sample = WebhookSample(parsing: text) else {
      throw UsageError("the sample '\(arguments.positionals[1])' has no request with a body")
    }
    return (platform, sample)
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
    if let secret = arguments["secret"] {
      guard let key else { throw UsageError("--secret goes with --account") }
      guard let field = platform.credentials.first(where: { $0.isSecret }) else {
        return Target(baseURL: settings.hub.baseURL, key: key, secrets: .init())
      }
      return Target(baseURL: settings.hub.baseURL, key: key, secrets: AccountSecrets([field.name: [secret]]))
    }
    let keys = try SecretStore(settings).secrets(settings).keys
    let name = platform.name.rawValue
    return try await CommandDatabase.withStore(settings) { store, _ in
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

  private static func request(
    _ sample: WebhookSample, _ number: Int, _ platform: any Platform, _ target: Target, spoil: Bool
  ) throws(Failure) -> WebhookSender.Request {
    let path = "/webhooks/\(platform.name)/\(target.key)"
    let plain = sample.request(url: target.baseURL + path)
    let id = "msg_\(SecureRandom.token(byteCount: 16))"
    guard let signed = platform.signed(plain, secrets: target.secrets, now: .current, id: id) else {
      throw Failure("the secrets of this account cannot sign; see Webhooks/\(platform.name)/README.md")
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
