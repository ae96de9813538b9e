import HTTPClient
import Hub

/// Every environment variable that the hub reads, in one table: from it the settings are read, the
/// errors are worded, `messaging-hub config` prints, and the README's table is made.
///
/// Reading is pure: it takes the environment and a way to read files. All faults are reported at once.
enum ConfigurationTable {
  /// What is wrong with the environment, one line each, with what to set.
  struct Fault: Error, Equatable, CustomStringConvertible {
    let lines: [String]

    var description: String { lines.joined(separator: "; ") }
  }

  static let logLevels = ["debug", "info", "warning", "error"]

  static let variables: [ConfigurationVariable] =
    server + security + database + outbound + files + operations + limits

  private static let server: [ConfigurationVariable] = [
    .text("PORT", "0 to 65535", standard: "3000", "The port to listen on; 0: one that is free") {
      value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.listen.port = UInt16(try ConfigurationVariable.read(value, 0...65_535))
    },
    .text(
      "HOST", "address", standard: HubConfiguration.Listen().host,
      "The address to listen on; 0.0.0.0 for all"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.listen.host = value
    },
    .text(
      "PUBLIC_URL", "URL", standard: "http://HOST:PORT",
      "How the platforms reach the hub; webhook URLs begin with it"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.listen.publicURL = try webURL(value, pathAllowed: true)
    },
    .text(
      "FRONTEND_URL", "URLs by comma", standard: "http://localhost:5173",
      "Origins from which browsers may use the API and the WebSockets"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.origins = try origins(value)
    },
    .optional(
      "TLS_CERT", "file", \.hub.listen.certificateFile,
      "PEM certificate chain; with TLS_KEY the hub speaks HTTPS"),
    .optional("TLS_KEY", "file", \.hub.listen.keyFile, "PEM private key of TLS_CERT"),
    .integer(
      "HUB_SHARDS", 1...256, \.hub.shardCount, standard: "one per core",
      "Event loops, each with a thread of its own"),
    .integer(
      "HUB_WRITERS", 1...64, \.hub.writerCount, "Group-commit writers; accounts are dealt to them by hash"),
    .integer(
      "SWEEP_INTERVAL", 1...86_400, \.hub.sweepSeconds,
      "Seconds between two looks for messages that webhooks have missed"),
    .integer(
      "POLLING_PACE", 1...10_000, \.hub.pollingPercent,
      "How often accounts are polled, in percent of the usual; limits that a platform tells hold at any pace"
    ),
    .seconds(
      "AUTH_TIMEOUT", 1...300, \.hub.authenticationDeadline,
      "How long a realtime client may take to authenticate"),
    .choice(
      "CONNECTION_RECOVERY", ConnectionRecovery.allCases.map(\.rawValue),
      standard: HubConfiguration().recovery.rawValue,
      "Socket.IO's connection state recovery: for no client, for those that ask, or for all"
    ) { value, settings in
      settings.hub.recovery = ConnectionRecovery(rawValue: value) ?? HubConfiguration().recovery
    },
    .seconds("PING_INTERVAL", 1...600, \.hub.pingInterval, "Between two pings to a realtime client"),
    .seconds(
      "PING_TIMEOUT", 1...600, \.hub.pingTimeout, "How long a realtime client may take to answer a ping"),
    .text(
      "SESSION_COOKIE", "name",
      "A cookie with the id of a polling session, by which a balancer keeps the client on its node"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.sessionCookie = try cookieName(value)
    },
  ]

  private static let security: [ConfigurationVariable] = [
    .choice(
      "HUB_ENV", ["development", "production"], standard: "development",
      "In production a missing secret stops the start; in development it is made and kept in HUB_DATA"
    ) { value, settings in settings.hub.isDevelopment = value == "development" },
    .optional(
      "JWT_SECRET", "at least 32 bytes", \.tokenSecret, secret: true,
      "Secret of HS256 tokens; made in development"),
    .optional(
      "JWT_PUBLIC_KEYS", "PEM", \.tokenPublicKeys, secret: true,
      "Public keys of RS256, ES256 and EdDSA tokens, one after the other"),
    .optional("JWKS_FILE", "file", \.tokenKeySetFile, "A JSON Web Key Set with the public keys of tokens"),
    .optional("JWT_ISSUER", "text", \.tokenIssuer, "When set, tokens must have this `iss`"),
    .optional("JWT_AUDIENCE", "text", \.tokenAudience, "When set, tokens must have this `aud`"),
    .optional(
      "ENCRYPTION_KEY", "32 bytes as hex or base64, several by comma", \.encryptionKeys, secret: true,
      "Seals credentials in the database; the first seals, the others still open (rotation);"
        + " made in development"),
    .text(
      "PLATFORM_APPS", "JSON list of {platform, name, credentials}", secret: true,
      "Apps whose one webhook URL serves all their accounts; `tenant` may name another than `default`"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      do throws(AccountDraft.Fault) {
        settings.hub.apps = try ConfiguredApp.list(parsing: Array(value.utf8))
      } catch {
        throw .init("not usable: \(error)")
      }
    },
    .text(
      "KEY_SET_MIRRORS", "URL=URL pairs by comma",
      "Where the public keys of platforms are fetched instead: the platform's URL, then the mirror's"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.keySetMirrors = try mirrors(value)
    },
  ]

  private static let database: [ConfigurationVariable] = [
    .text(
      "DATABASE_URL", "libpq URL", secret: true,
      "PostgreSQL 15 or later, postgresql://user@host/name; unset: the hub runs its own in HUB_DATA"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      let isURL = ["postgresql://", "postgres://"].contains { value.hasPrefix($0) }
      // The keyword form of libpq: host=... dbname=...
      guard isURL || (value.contains("=") && !value.contains("://")) else { throw .init("not of PostgreSQL") }
      settings.databaseURL = value
    },
    .text("HUB_DATA", "folder", standard: Settings().dataFolder, "Where the hub keeps its own things") {
      value, settings throws(ConfigurationVariable.Unusable) in
      settings.dataFolder = value
    },
    .optional(
      "HUB_PG_BIN", "folder", \.postgresBinaries, "Where the PostgreSQL programs are; unset: searched"),
    .integer("DATABASE_READERS", 1...64, \.hub.readConnections, "Reading connections of each event loop"),
    .optional("REDIS_URL", "URL", \.redisURL, secret: true, "Not used yet; nodes talk through PostgreSQL"),
    .integer(
      "RETENTION_DELIVERIES", 1...3_650, \.hub.retention.deliveryDays, unit: "days",
      "How long raw webhook deliveries are kept"),
    .integer(
      "RETENTION_EVENTS", 1...3_650, \.hub.retention.eventDays, unit: "days",
      "How long the event log is kept; a client that was away longer is told to resync"),
  ]

  private static let outbound: [ConfigurationVariable] = [
    .text(
      "HTTP_PROXY", "[http://][user:password@]host[:port]", secret: true,
      "The proxy for plain requests of the hub to others; also `http_proxy`"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.outbound.proxies.http = try proxy(value)
    }.inEitherCase,
    .text(
      "HTTPS_PROXY", "[http://][user:password@]host[:port]", secret: true,
      "The proxy for HTTPS requests of the hub to others, by CONNECT; also `https_proxy`"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.hub.outbound.proxies.https = try proxy(value)
    }.inEitherCase,
    .text(
      "NO_PROXY", "names, addresses, networks by comma",
      "What is asked without a proxy: `example.org` and all below it, `10.0.0.0/8`, or `*`; also `no_proxy`"
    ) { value, settings in settings.hub.outbound.proxies.except(value) }.inEitherCase,
    .optional(
      "OUTBOUND_CA_FILE", "file", \.hub.outbound.authorityFile,
      "PEM authorities that are trusted beside the system's, for servers with a certificate of their own"),
  ]

  private static let files: [ConfigurationVariable] = [
    .text("FILES_FOLDER", "folder", standard: "HUB_DATA/files", "Where attachments and uploads are kept") {
      value, settings throws(ConfigurationVariable.Unusable) in
      settings.filesFolder = value
    },
    .text(
      "S3_ENDPOINT", "URL",
      "An S3-compatible store in place of FILES_FOLDER: scheme and host; the bucket stands in the path"
    ) { value, settings throws(ConfigurationVariable.Unusable) in
      settings.s3Endpoint = try webURL(value, pathAllowed: false)
    },
    .optional("S3_BUCKET", "name", \.s3Bucket, "The bucket; the hub does not make it"),
    .text("S3_REGION", "name", standard: Settings().s3Region, "The region that requests are signed for") {
      value, settings throws(ConfigurationVariable.Unusable) in
      settings.s3Region = value
    },
    .optional(
      "S3_ACCESS_KEY", "text", \.s3AccessKey, "The id of the key that reads, writes and deletes there"),
    .optional("S3_SECRET_KEY", "text", \.s3SecretKey, secret: true, "The secret of S3_ACCESS_KEY"),
    .bytes(
      "ATTACHMENT_BYTES_MAX", 1_024...(1 << 30), \.hub.files.bytesMax,
      "The largest file that is fetched from a platform or uploaded"),
    .seconds(
      "ATTACHMENT_TIMEOUT", 1...3_600, \.hub.files.fetchTime,
      "How long fetching one file may take; a quarter of it without a byte is too long too"),
    .choice(
      "ALLOW_PRIVATE_ADDRESSES", ["no", "yes"], standard: "no",
      "For development: files may be fetched from this machine and its network, wherever a link leads"
    ) { value, settings in settings.hub.allowsPrivateAddresses = value == "yes" },
  ]

  private static let operations: [ConfigurationVariable] = [
    .choice(
      "HUB_LOG", Settings.LogFormat.allCases.map(\.rawValue), standard: Settings().logFormat.rawValue,
      "JSON lines, or a form for people"
    ) { value, settings in settings.logFormat = Settings.LogFormat(rawValue: value) ?? .json },
    .choice("HUB_LOG_LEVEL", logLevels, standard: Settings().logLevel, "The least level that is written") {
      value, settings in settings.logLevel = value
    },
  ]

  private static let limits: [ConfigurationVariable] = [
    .bytes("LIMIT_WEBHOOK", 1_024...(256 << 20), \.hub.limits.webhookBytesMax, "The largest webhook body"),
    .bytes(
      "LIMIT_REQUEST", 1_024...(64 << 20), \.hub.limits.requestBytesMax,
      "The largest body of an API request"),
    .bytes(
      "LIMIT_CLIENT_QUEUE", (16 << 10)...(256 << 20), \.hub.limits.clientQueueBytesMax,
      "Unsent bytes after which a realtime client is disconnected as slow"),
    .integer(
      "LIMIT_CONNECTIONS", 16...1_000_000, \.hub.limits.connectionsMax, "Connections; more are answered 503"),
    .integer(
      "LIMIT_INGEST_QUEUE", 1...1_000_000, \.hub.limits.ingestQueueMax,
      "Deliveries that may wait for a writer; more are answered 503"),
    .bytes(
      "LIMIT_INGEST_BYTES", (1 << 20)...(4 << 30), \.hub.limits.ingestQueueBytesMax,
      "Bytes of deliveries that may wait for a writer"),
    .integer("LIMIT_GROUP", 1...4_096, \.hub.limits.groupMax, "Deliveries committed in one transaction"),
    .integer(
      "LIMIT_RESUME", 1...1_000_000, \.hub.limits.resumeEventsMax,
      "Missed events that a returning client is sent; beyond it is told to resync"),
    .integer(
      "LIMIT_CLIENT_EVENTS", 1...10_000, \.hub.limits.clientEventsPerSecond,
      "Events that a realtime client may send in a second"),
  ]

  // MARK: Reading

  /// - Parameters:
  ///   - cores: the default number of event loops.
  ///   - readFile: the text of a file; throws with a reason for people.
  /// - Throws: `Fault` with everything that is wrong.
  static func read(
    _ environment: [String: String], cores: Int = 1,
    readFile: (String) throws -> String = { _ in throw Failure("files cannot be read here") }
  ) throws(Fault) -> Settings {
    var settings = Settings()
    settings.hub.shardCount = max(1, cores)
    var faults: [String] = []
    for variable in variables {
      do throws(ConfigurationVariable.Unusable) {
        guard let value = try value(of: variable, environment, readFile) else { continue }
        do throws(ConfigurationVariable.Unusable) {
          try variable.apply(value, &settings)
        } catch {
          // A secret that is wrong is not shown, not even in part.
          throw variable.isSecret ? .init("not usable") : error
        }
      } catch {
        faults.append("\(variable.name) is \(error.reason); \(variable.doc)")
      }
    }
    faults += check(settings) + placeFiles(&settings)
    guard faults.isEmpty else { throw Fault(lines: faults) }
    settings.warnings = warnings(environment, settings)
    return settings
  }

  private static func value(
    of variable: ConfigurationVariable, _ environment: [String: String],
    _ readFile: (String) throws -> String
  ) throws(ConfigurationVariable.Unusable) -> String? {
    let plain = variable.value(in: environment)
    guard variable.isSecret, let path = environment["\(variable.name)_FILE"], !path.isEmpty else {
      return plain
    }
    guard plain == nil else { throw .init("set twice: by \(variable.name) and by \(variable.name)_FILE") }
    do {
      let text = trimmed(try readFile(path))
      guard !text.isEmpty else { throw Failure("it is empty") }
      return text
    } catch {
      throw .init("not readable from \(path): \(error)")
    }
  }

  private static func trimmed(_ text: String) -> String {
    var text = text[...]
    while let last = text.last, last.isWhitespace { text.removeLast() }
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    return String(text)
  }

  /// Rules that concern several variables.
  private static func check(_ settings: Settings) -> [String] {
    var faults: [String] = []
    if (settings.hub.listen.certificateFile == nil) != (settings.hub.listen.keyFile == nil) {
      faults.append("TLS_CERT and TLS_KEY go together: set both for HTTPS or none")
    }
    guard settings.isProduction else { return faults }
    if settings.tokenSecret == nil && settings.tokenPublicKeys == nil && settings.tokenKeySetFile == nil {
      faults.append(
        "with HUB_ENV=production the hub needs a way to check tokens: set JWT_SECRET (openssl rand -hex 32),"
          + " JWT_PUBLIC_KEYS or JWKS_FILE")
    }
    if let secret = settings.tokenSecret, secret.utf8.count < 32 {
      faults.append("JWT_SECRET is shorter than 32 bytes; make one with: openssl rand -hex 32")
    }
    if settings.encryptionKeys == nil {
      faults.append(
        "with HUB_ENV=production ENCRYPTION_KEY is needed, 32 bytes as hex or base64: openssl rand -hex 32")
    }
    return faults
  }

  /// The store of files: the bucket when one is named, otherwise the folder.
  private static func placeFiles(_ settings: inout Settings) -> [String] {
    settings.hub.files.folder = settings.filesFolder ?? "\(settings.dataFolder)/files"
    let given = [settings.s3Endpoint, settings.s3Bucket, settings.s3AccessKey, settings.s3SecretKey]
    guard given.contains(where: { $0 != nil }) else { return [] }
    guard let endpoint = settings.s3Endpoint, let bucket = settings.s3Bucket,
      let access = settings.s3AccessKey, let secret = settings.s3SecretKey
    else { return ["S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY go together: set all or none"] }
    settings.hub.files.s3 = S3Settings(
      endpoint: endpoint, bucket: bucket, region: settings.s3Region, accessKey: access, secretKey: secret)
    return []
  }

  private static func warnings(_ environment: [String: String], _ settings: Settings) -> [String] {
    let known = Set(variables.flatMap { [$0.name, "\($0.name)_FILE"] })
    // Read by the project's own tools, not by the hub.
    let tools: Set = ["HUB_BINARY", "HUB_UPDATE_GOLDEN"]
    var warnings = environment.keys.sorted()
      .filter { $0.hasPrefix("HUB_") && !known.contains($0) && !tools.contains($0) }
      .map { "\($0) is not a variable of the hub; see messaging-hub config" }
    if settings.redisURL != nil { warnings.append("REDIS_URL is set but not used yet") }
    return warnings
  }

  // MARK: Values

  private static func proxy(_ text: String) throws(ConfigurationVariable.Unusable) -> HTTPProxy {
    do {
      return try HTTPProxy(text)
    } catch {
      throw .init(error.reason)
    }
  }

  private static func origins(_ text: String) throws(ConfigurationVariable.Unusable) -> [String] {
    var origins: [String] = []
    for part in text.split(separator: ",") {
      origins.append(try webURL(trimmed(String(part)), pathAllowed: false))
    }
    guard !origins.isEmpty else { throw .init("empty") }
    return origins
  }

  /// A token (RFC 6265 section 4.1.1), and not `token`, which is the name of another cookie.
  private static func cookieName(_ text: String) throws(ConfigurationVariable.Unusable) -> String {
    let isAllowed = { (character: Character) in
      character.isASCII && (character.isLetter || character.isNumber || "._-".contains(character))
    }
    guard text != "token", text.allSatisfy(isAllowed) else {
      throw .init("'\(text)', which is no name for it (letters, digits, '.', '_', '-'; not 'token')")
    }
    return text
  }

  /// A pair is parted by the `=` before the second scheme: a URL may hold one itself.
  private static func mirrors(
    _ text: String
  ) throws(ConfigurationVariable.Unusable) -> [String: String] {
    var mirrors: [String: String] = [:]
    for part in text.split(separator: ",") {
      let pair = trimmed(String(part))
      guard let middle = pair.firstRange(of: /=(?=https?:\/\/)/) else {
        throw .init("'\(pair)', which is no pair of URLs with = between them")
      }
      let url = String(pair[..<middle.lowerBound])
      // Checked only: the platform's URL is compared to the letter.
      _ = try webURL(url, pathAllowed: true)
      guard mirrors[url] == nil else { throw .init("'\(url)' twice") }
      mirrors[url] = try webURL(String(pair[middle.upperBound...]), pathAllowed: true)
    }
    guard !mirrors.isEmpty else { throw .init("empty") }
    return mirrors
  }

  /// A URL with http or https and a host, without the slash at its end.
  private static func webURL(
    _ text: String, pathAllowed: Bool
  ) throws(ConfigurationVariable.Unusable) -> String {
    var url = text[...]
    while url.last == "/" { url.removeLast() }
    guard let scheme = ["https://", "http://"].first(where: { url.lowercased().hasPrefix($0) }) else {
      throw .init("'\(text)', which does not begin with http:// or https://")
    }
    let rest = url.dropFirst(scheme.count)
    guard let host = rest.split(separator: "/", omittingEmptySubsequences: false).first, !host.isEmpty,
      !rest.contains(where: { $0.isWhitespace || $0 == "?" || $0 == "#" }), !host.contains("@")
    else { throw .init("'\(text)', which is no address of a server") }
    guard pathAllowed || !rest.contains("/") else { throw .init("'\(text)', but an origin has no path") }
    return String(url)
  }

  // MARK: Showing

  /// The table in Markdown, for the README.
  static var markdown: String {
    var text = "| Variable | Value | Default | What it does |\n|---|---|---|---|\n"
    for variable in variables {
      let standard = variable.standard.isEmpty ? "" : "`\(variable.standard)`"
      text += "| `\(variable.name)` | \(variable.type) | \(standard) | \(variable.doc) |\n"
    }
    let files = variables.filter(\.isSecret).map { "`\($0.name)_FILE`" }.joined(separator: ", ")
    text += "\nA secret may stand in a file instead: \(files).\n"
    return text
  }

  /// The table in plain text: name, what is in force (secrets hidden), what it does.
  static func rows(_ environment: [String: String]) -> [[String]] {
    variables.map { variable in
      let given = variable.value(in: environment)
      let isFile = variable.isSecret && !(environment["\(variable.name)_FILE"] ?? "").isEmpty
      let value: String
      if isFile {
        value = "(from \(variable.name)_FILE)"
      } else if let given {
        value = variable.isSecret ? "(set)" : given
      } else {
        value = variable.standard.isEmpty ? "-" : variable.standard
      }
      return [variable.name, value, variable.doc]
    }
  }
}
