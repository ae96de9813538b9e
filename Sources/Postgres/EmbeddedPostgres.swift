import CPostgres
import Glibc
import Synchronization

/// A private PostgreSQL that the hub makes, runs, watches and stops.
///
/// One hub at a time: an flock on `<data>/postgres.lock` is held while it runs, and the kernel drops it
/// when the hub dies, however it dies. Behind the lock a server that is still alive is an orphan of a
/// dead hub: it is stopped first, so that the server is always our own child. The server gets SIGINT
/// (a fast shutdown) when the hub dies; one that was killed recovers from its log at the next start.
///
/// A thread of its own starts the server and waits for it, because Linux ties a child's fate to the
/// thread that forked it. A server that ends by itself is started again, after a wait that doubles.
///
/// `start` and `stop` block: call them before the loops serve and after they have stopped, or from a
/// `BlockingPool`.
package final class EmbeddedPostgres: Sendable {
  package struct Configuration: Sendable {
    /// The hub's data folder; made when it does not exist.
    package var dataFolder: String
    /// `HUB_PG_BIN`: a folder with `postgres` and `initdb`. nil searches.
    package var binaryFolder: String?
    /// `PATH`.
    package var searchPath: String?
    /// `XDG_RUNTIME_DIR`: for the socket when the data folder's path is long.
    package var runtimeFolder: String?
    package var sharedBuffersMegabytes = 128
    package var connectionsMax = 50
    /// How long a start may take, recovery after a crash included.
    package var startTimeout: Duration = .seconds(60)
    /// How long a fast shutdown may take before an immediate one.
    package var stopTimeout: Duration = .seconds(20)
    /// The first wait before a server that ended by itself is started again, and the longest.
    package var restartBackoff: ClosedRange<Duration> = .milliseconds(200)...(.seconds(10))
    /// More `name=value` settings of the server; they win over the hub's own.
    package var settings: [String: String] = [:]

    package init(dataFolder: String) {
      self.dataFolder = dataFolder
    }
  }

  /// What the watching thread has to say.
  package enum Event: Sendable, Equatable {
    case orphanStopped(process: Int32)
    case started(process: Int32)
    /// The server ended although nobody had asked it to; the code is 128 + signal when killed.
    case ended(code: Int32, restartAfter: Duration)
    case restartFailed(String)
  }

  enum State: Sendable, Equatable {
    case idle
    case running(pid_t)
    case backingOff
    case stopping(pid_t)
    case stopped
    /// It ended before its first answer.
    case failed(String)
  }

  /// Waits between looks while something is awaited from outside.
  private static let pollMicroseconds: useconds_t = 5_000

  let layout: EmbeddedPostgresLayout
  private let configuration: Configuration
  private let binaries: PostgresBinaries
  private let lock: FolderLock
  private let report: @Sendable (Event) -> Void
  private let state = Mutex(State.idle)
  private let hasAnswered = Mutex(false)

  /// For the hub's own sessions; the login is a superuser, over the socket only.
  package var connectionString: String { layout.connectionString }

  /// The postmaster. nil while there is none.
  package var serverProcess: Int32? {
    switch state.withLock({ $0 }) {
    case .running(let process), .stopping(let process): process
    default: nil
    }
  }

  /// Makes the cluster when there is none, starts it and waits until it answers. Blocks.
  /// - Parameters:
  ///   - report: called on the watching thread; must not block.
  /// - Throws: what is missing or in the way, and what to do.
  package static func start(
    _ configuration: Configuration, report: @escaping @Sendable (Event) -> Void = { _ in }
  ) throws(EmbeddedPostgresError) -> EmbeddedPostgres {
    let layout = try EmbeddedPostgresLayout.prepare(
      dataFolder: configuration.dataFolder, runtimeFolder: configuration.runtimeFolder)
    let lock = try FolderLock.take(layout.lockFile, connectionString: layout.connectionString)
    let binaries = try chooseBinaries(configuration, layout)
    if let orphan = try stopOrphan(layout, configuration) { report(.orphanStopped(process: orphan)) }
    try ClusterMaking.makeIfMissing(layout, binaries)
    let server = EmbeddedPostgres(layout, configuration, binaries, lock, report)
    try server.startThread()
    do throws(EmbeddedPostgresError) {
      try server.waitUntilReady()
      try ClusterMaking.makeDatabase(layout)
    } catch {
      server.stop()
      throw error
    }
    return server
  }

  /// The connection string of the cluster that a running hub has on this folder, for commands started
  /// beside it. nil when none runs. Blocks.
  package static func connectionIfRunning(dataFolder: String) -> String? {
    guard let holder = FolderLock.holder(of: dataFolder + "/postgres.lock") else { return nil }
    return PQping(holder.connectionString) == PQPING_OK ? holder.connectionString : nil
  }

  private init(
    _ layout: EmbeddedPostgresLayout, _ configuration: Configuration, _ binaries: PostgresBinaries,
    _ lock: FolderLock, _ report: @escaping @Sendable (Event) -> Void
  ) {
    self.layout = layout
    self.configuration = configuration
    self.binaries = binaries
    self.lock = lock
    self.report = report
  }

  /// Stops the server: fast, then at once when that takes too long. Blocks; may be called twice.
  package func stop() {
    signal(SIGINT)
    if !waitUntilStopped(configuration.stopTimeout) {
      signal(SIGQUIT)
      if !waitUntilStopped(.seconds(5)) {
        signal(SIGKILL)
        _ = waitUntilStopped(.seconds(5))
      }
    }
    // What it had started may take a moment longer than the server itself.
    _ = Self.waitForServers(of: layout.cluster, .seconds(2))
    lock.release()
  }

  private func signal(_ number: Int32) {
    // Under the lock, because the thread reaps under it too: the number is still the server's.
    state.withLock { state in
      switch state {
      case .running(let process), .stopping(let process):
        kill(process, number)
        state = .stopping(process)
      case .backingOff, .idle: state = .stopped
      case .stopped, .failed: break
      }
    }
  }

  private func waitUntilStopped(_ limit: Duration) -> Bool {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
      switch state.withLock({ $0 }) {
      case .stopped, .failed: return true
      default: usleep(Self.pollMicroseconds)
      }
    }
    return false
  }

  private func waitUntilReady() throws(EmbeddedPostgresError) {
    let end = ContinuousClock.now + configuration.startTimeout
    let probe = layout.connectionString.replacingDatabase(with: "postgres")
    while ContinuousClock.now < end {
      if case .failed(let reason) = state.withLock({ $0 }) { throw EmbeddedPostgresError(reason) }
      if PQping(probe) == PQPING_OK {
        hasAnswered.withLock { $0 = true }
        return
      }
      usleep(Self.pollMicroseconds)
    }
    throw EmbeddedPostgresError(
      "PostgreSQL did not answer in \(configuration.startTimeout): see \(layout.startLog) and "
        + "\(layout.cluster)/log")
  }

  // MARK: The watching thread

  private func startThread() throws(EmbeddedPostgresError) {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self).toOpaque()
    let error = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<EmbeddedPostgres>.fromOpaque(context).takeRetainedValue().watch()
        return nil
      }, context)
    guard error == 0 else {
      Unmanaged<EmbeddedPostgres>.fromOpaque(context).release()
      throw EmbeddedPostgresError("cannot start a thread: error \(error)")
    }
    pthread_detach(thread)
  }

  private func watch() {
    var backoff = configuration.restartBackoff.lowerBound
    while true {
      let started = ContinuousClock.now
      switch spawn() {
      case .failure(let error):
        guard hasAnswered.withLock({ $0 }) else { return finish(.failed(error.description)) }
        report(.restartFailed(error.description))
      case .success(nil): return finish(.stopped)
      case .success(let process?):
        report(.started(process: process))
        ChildProcess.waitWithoutReaping(for: process)
        guard let code = reap(process) else { return }
        guard hasAnswered.withLock({ $0 }) else { return finish(.failed(startFailure(code))) }
        if ContinuousClock.now - started > .seconds(60) { backoff = configuration.restartBackoff.lowerBound }
        report(.ended(code: code, restartAfter: backoff))
      }
      guard rest(backoff) else { return finish(.stopped) }
      backoff = min(backoff * 2, configuration.restartBackoff.upperBound)
    }
  }

  /// - Returns: nil when the server was to stop meanwhile.
  private func spawn() -> Result<pid_t?, EmbeddedPostgresError> {
    if hasAnswered.withLock({ $0 }) {
      // Backends of a killed postmaster end by themselves; PostgreSQL refuses to start before that.
      _ = try? Self.stopOrphan(layout, configuration)
    }
    return state.withLock { state in
      guard state != .stopped else { return .success(nil) }
      do throws(EmbeddedPostgresError) {
        let process = try ChildProcess.start(
          binaries.postgres, arguments(), output: layout.startLog, user: layout.user, diesWithThread: true)
        state = .running(process)
        return .success(process)
      } catch {
        state = .backingOff
        return .failure(error)
      }
    }
  }

  /// - Returns: the exit code; nil when the server was asked to stop.
  private func reap(_ process: pid_t) -> Int32? {
    state.withLock { state in
      let code = ChildProcess.wait(for: process)
      if case .stopping = state {
        state = .stopped
        return nil
      }
      state = .backingOff
      return code
    }
  }

  private func rest(_ duration: Duration) -> Bool {
    let end = ContinuousClock.now + duration
    while ContinuousClock.now < end {
      if state.withLock({ $0 }) == .stopped { return false }
      usleep(20_000)
    }
    return state.withLock { $0 } != .stopped
  }

  private func finish(_ last: State) {
    state.withLock { $0 = last }
  }

  private func startFailure(_ code: Int32) -> String {
    let printed = FileTree.read(layout.startLog) ?? ""
    let tail = printed.split(separator: "\n").suffix(5).joined(separator: "; ")
    return "PostgreSQL ended with code \(code) before it answered: \(tail) (see \(layout.cluster)/log)"
  }

  /// Settings go on the command line, so that the folder's own files stay as initdb made them and a new
  /// hub's choices hold at once.
  private func arguments() -> [String] {
    var settings = [
      "listen_addresses": "", "port": "\(EmbeddedPostgresLayout.port)",
      "unix_socket_directories": layout.socketFolder, "unix_socket_permissions": "0700",
      // Durable: what was acknowledged is on the disk.
      "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
      "shared_buffers": "\(configuration.sharedBuffersMegabytes)MB",
      "max_connections": "\(configuration.connectionsMax)",
      "wal_compression": binaries.hasLZ4 ? "lz4" : "on",
      "min_wal_size": "\(16 * (ClusterMaking.logSegmentsAhead + 2))MB", "max_wal_size": "2GB",
      "checkpoint_timeout": "10min", "checkpoint_completion_target": "0.9",
      "jit": "off", "random_page_cost": "1.1", "autovacuum_naptime": "20s",
      "logging_collector": "on", "log_directory": "log", "log_filename": "postgres-%a.log",
      "log_truncate_on_rotation": "on", "log_rotation_age": "1d", "log_rotation_size": "0",
      "log_line_prefix": "%m [%p] ", "log_timezone": "UTC", "timezone": "UTC",
      // Statements and the details of errors hold people's messages: they stay out of the log.
      "log_min_error_statement": "panic", "log_error_verbosity": "terse", "log_min_messages": "warning",
    ]
    settings.merge(configuration.settings) { $1 }
    return ["-D", layout.cluster]
      + settings.sorted { $0.key < $1.key }.flatMap { ["-c", "\($0.key)=\($0.value)"] }
  }

  // MARK: Before the start

  private static func chooseBinaries(
    _ configuration: Configuration, _ layout: EmbeddedPostgresLayout
  ) throws(EmbeddedPostgresError) -> PostgresBinaries {
    let found = PostgresBinaries.find(
      preferred: configuration.binaryFolder, searchPath: configuration.searchPath)
    guard let newest = found.first else {
      throw EmbeddedPostgresError(
        configuration.binaryFolder.map { "no postgres and initdb in \($0) (HUB_PG_BIN)" }
          ?? "no PostgreSQL server found in /usr/lib/postgresql or PATH: install it "
          + "(apt-get install postgresql), set HUB_PG_BIN to the folder of its programs, or set "
          + "DATABASE_URL to a server that runs")
    }
    guard let text = FileTree.read(layout.versionFile) else { return newest }
    let version = Int(text.filter(\.isNumber)) ?? 0
    guard let fitting = found.first(where: { $0.majorVersion == version }) else {
      throw EmbeddedPostgresError(
        "the cluster in \(layout.cluster) is of PostgreSQL \(version), but this machine has "
          + found.map { "\($0.majorVersion)" }.joined(separator: ", ")
          + ": install PostgreSQL \(version), or move the data with pg_upgrade")
    }
    return fitting
  }

  /// Stops what a dead hub left running on the cluster and removes a stale process file. We hold the
  /// lock, so nobody else is meant to run it.
  /// - Returns: the process that was stopped.
  private static func stopOrphan(
    _ layout: EmbeddedPostgresLayout, _ configuration: Configuration
  ) throws(EmbeddedPostgresError) -> Int32? {
    let first = ChildProcess.servers(of: layout.cluster)
    let recorded = FileTree.read(layout.processFile)?.split(separator: "\n").first.flatMap { pid_t($0) }
    if !first.isEmpty {
      // The postmaster, when it lives; else what it left, which ends by itself when it sees it gone.
      if let recorded, first.contains(recorded) { kill(recorded, SIGINT) }
      if !waitForServers(of: layout.cluster, configuration.stopTimeout) {
        for process in ChildProcess.servers(of: layout.cluster) { kill(process, SIGQUIT) }
        guard waitForServers(of: layout.cluster, .seconds(10)) else {
          throw EmbeddedPostgresError(
            "an older PostgreSQL on \(layout.cluster) does not stop: processes "
              + ChildProcess.servers(of: layout.cluster).map { "\($0)" }.joined(separator: ", "))
        }
      }
    }
    // Nothing of ours is alive. A process file that is left names a dead process, or a number that
    // somebody else has by now, which PostgreSQL would take for a running server.
    unlink(layout.processFile)
    return first.isEmpty ? nil : (recorded.flatMap { first.contains($0) ? $0 : nil } ?? first.first)
  }

  private static func waitForServers(of cluster: String, _ limit: Duration) -> Bool {
    let end = ContinuousClock.now + limit
    while !ChildProcess.servers(of: cluster).isEmpty {
      guard ContinuousClock.now < end else { return false }
      usleep(20_000)
    }
    return true
  }
}

extension String {
  /// The same login on another database; the last value of a keyword counts.
  func replacingDatabase(with name: String) -> String {
    "\(self) dbname=\(PostgresQuoting.connectionValue(name))"
  }
}
