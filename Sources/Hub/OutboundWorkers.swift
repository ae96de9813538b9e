import Bytes
package import EventLoop
import HTTPClient
import Platforms
import Security

/// What a node does towards the platforms: the outbox's worker and the pollers, on one loop, with the HTTP
/// client and the file store that they share.
package struct OutboundWorkers: Sendable {
  package struct Parts: Sendable {
    let node: HubNode.Parts
    let nodeID: UUIDv7
    /// Of the loop that the workers run on.
    let store: HubStore
    let writers: [IngestWriter]
    let relay: EventRelay
    let pulse: NodePulse
    let ids: IDSource
    let metrics: HubMetrics
    let blocking: BlockingPool
  }

  private let parts: Parts
  private let loop: EventLoop
  private let client: HTTPClient
  /// Public keys of platforms; any thread may ask.
  package let keySets: KeySetStore
  private let caller: PlatformCaller
  private let gate: RateGate
  private let pauses: PauseSharing
  private let tokens: TokenKeeper
  private let sending: JobWorker
  private let presence: PresenceSender
  private let scheduler: PollScheduler
  private let files: any FileStore
  private let links: FileLinks
  private let fetching: JobWorker
  private let keeping: FileKeeping

  package init(_ parts: Parts, on loop: EventLoop) throws {
    self.parts = parts
    self.loop = loop
    let configuration = parts.node.configuration
    let tls = try TLSContext(
      clientTrusting: configuration.outbound.authorityFile, alsoSystem: true)
    let names = BlockingPool(threads: 4)
    var outbound = HTTPClient.Configuration(tls: tls)
    outbound.proxies = configuration.outbound.proxies
    // Accounts of one platform ask one server, each with a question that is kept.
    outbound.longLivedPerOriginMax = 20_000
    outbound.connectionsMax = 24_000
    client = HTTPClient(loop: loop, blocking: names, configuration: outbound)
    keySets = KeySetStore(client: client, mirrors: configuration.keySetMirrors)
    let mailboxes = MailboxConnector(tls: tls, loop: loop, blocking: names)
    let node = parts.node
    files = Self.fileStore(configuration.files, client, node.clock)
    links = FileLinks(keys: node.keys, publicURL: configuration.listen.publicURL)
    caller = PlatformCaller(
      client: client, files: files, allowsPrivateAddresses: configuration.allowsPrivateAddresses,
      fileBytesMax: configuration.files.bytesMax)
    tokens = TokenKeeper(
      store: parts.store, caller: caller, keys: node.keys, clock: node.clock, log: node.log, loop: loop)
    gate = RateGate(keys: node.keys)
    pauses = PauseSharing(
      loop: loop, gate: gate, store: parts.store, clock: node.clock, log: node.log)
    let states = AccountStates(store: parts.store, relay: parts.relay, log: node.log)
    let runner = SendRunner(
      node: "\(parts.nodeID)", store: parts.store, caller: caller,
      mail: MailSender(connector: mailboxes, caller: caller, log: node.log), pulse: parts.pulse,
      gate: gate, tokens: tokens, states: states, links: links, relay: parts.relay, keys: node.keys,
      clock: node.clock,
      metrics: parts.metrics,
      log: node.log, loop: loop)
    sending = JobWorker(loop: loop, source: runner.source, log: node.log)
    presence = PresenceSender(loop: loop, runner: runner)
    let inside = DeliveryParts(loop: loop, store: parts.store, blocking: BlockingPool(threads: 1))
    let fetch = FetchRunner(
      node: "\(parts.nodeID)", store: parts.store, caller: caller, files: files,
      parts: inside, gate: gate, tokens: tokens, relay: parts.relay, keys: node.keys, clock: node.clock,
      metrics: parts.metrics, log: node.log,
      loop: loop,
      limits: FetchRunner.Limits(
        bytesMax: configuration.files.bytesMax, time: configuration.files.fetchTime,
        allowsPrivateAddresses: configuration.allowsPrivateAddresses))
    fetching = JobWorker(loop: loop, source: fetch.source, log: node.log)
    keeping = FileKeeping(
      loop: loop, store: parts.store, files: files, interval: configuration.files.keepingInterval,
      uploadSeconds: configuration.files.uploadSeconds, log: node.log)
    let poller = PollRunner(
      store: parts.store, writers: parts.writers, caller: caller, mailboxes: mailboxes,
      pulse: parts.pulse, gate: gate, tokens: tokens, states: states, keys: node.keys, ids: parts.ids,
      clock: node.clock,
      metrics: parts.metrics,
      log: node.log, loop: loop, pace: configuration.pollingPace)
    let giver = PollReturn(
      store: parts.store, gate: gate, states: states, keys: node.keys, clock: node.clock,
      metrics: parts.metrics,
      log: node.log, loop: loop, sweepSeconds: Double(configuration.sweepSeconds),
      pace: configuration.pollingPace)
    scheduler = PollScheduler(
      loop: loop, runner: poller, giver: giver, store: parts.store, log: node.log, node: "\(parts.nodeID)")
  }

  private static func fileStore(
    _ files: HubConfiguration.Files, _ client: HTTPClient, _ clock: WallClock
  ) -> any FileStore {
    if let s3 = files.s3 { return S3FileStore(s3, client: client, clock: clock) }
    return FolderFileStore(folder: files.folder, blocking: BlockingPool(threads: 4))
  }

  /// Files as the requests of a shard serve them.
  package func fileServing(_ store: HubStore) -> FileServing {
    FileServing(
      store: store, files: files, fetching: fetching, links: links, clock: parts.node.clock,
      relay: parts.relay)
  }

  /// The outbox as the requests of a shard use it.
  package func outbox(_ store: HubStore) -> Outbox {
    Outbox(
      store: store, relay: parts.relay, worker: sending, presence: presence, ids: parts.ids,
      keys: parts.node.keys,
      clock: parts.node.clock, uploads: Uploads(store: store, files: files, ids: parts.ids), links: links,
      gate: gate)
  }

  package func start() {
    let (sending, scheduler, fetching, keeping) = (sending, scheduler, fetching, keeping)
    let (pauses, loop) = (pauses, loop)
    Task(executorPreference: loop) {
      await pauses.look()
      Task(executorPreference: loop) { await pauses.run() }
      Task(executorPreference: loop) { await sending.run() }
      Task(executorPreference: loop) { await scheduler.run() }
      Task(executorPreference: loop) { await fetching.run() }
      Task(executorPreference: loop) { await keeping.run() }
    }
  }

  /// An account changed. From any thread. - Parameter key: its webhook key.
  package func reconsider(_ key: String) { scheduler.reconsider(key) }

  /// Ends what is under way. Jobs that are not finished are found by another node, or by the next start.
  package func stop(within limit: Duration) async {
    let (sending, presence, scheduler, client) = (sending, presence, scheduler, client)
    let (fetching, keeping, tokens, pauses) = (fetching, keeping, tokens, pauses)
    await loop.shard.run { shard in
      let deadline = shard.loop.now + limit
      await pauses.stop()
      await keeping.stop()
      await scheduler.stop(until: deadline)
      await presence.stop()
      await sending.stop(until: deadline)
      // A file that is not there yet is fetched again: it is not worth waiting for.
      await fetching.stop(until: min(deadline, shard.loop.now + .seconds(1)))
      await tokens.stop(until: deadline)
      await client.close()
    }
  }
}
