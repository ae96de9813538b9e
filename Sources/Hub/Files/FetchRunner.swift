import Bytes
package import EventLoop
import HTTPClient
import HTTPWire
import JSON
import Messaging
import Platforms
package import Security
package import Telemetry

/// Fetches the file of one attachment: asks the platform for the next call, makes it, checks what comes, and
/// writes down what came of it.
package struct FetchRunner: Sendable {
  /// What a fetch may cost.
  package struct Limits: Sendable {
    package var bytesMax: Int
    package var time: Duration
    package var allowsPrivateAddresses: Bool
  }

  private static let runningMax = 8
  private static let callsMax = 6
  private static let attemptsMax = 8
  private static let redirectsMax = 5
  private static let recordTries = 60

  package let node: String
  package let store: HubStore
  package let caller: PlatformCaller
  package let files: any FileStore
  package let parts: DeliveryParts
  package let gate: RateGate
  package let tokens: TokenKeeper
  package let relay: EventRelay
  package let keys: KeyRing
  package let clock: WallClock
  package let metrics: HubMetrics
  package let log: Logger
  package let loop: EventLoop
  package let limits: Limits

  /// What came of a job, before it is written down.
  private enum Outcome {
    case stored(type: String, bytes: Int64)
    case failed(String)
    case later(seconds: Double?, reason: String, counts: Bool)
  }

  /// What one download came to.
  private enum Download {
    case stored(type: String, bytes: Int64)
    case refused(APIAnswer)
    case failed(APIFailure)
  }

  /// Attachments that are due.
  var source: JobWorker.Source {
    JobWorker.Source(
      name: "attachments", runningMax: Self.runningMax,
      recover: { try await store.recoverFiles() },
      take: { limit in
        try await store.takeFiles(node: node, limit: limit).map { job in { await run(job) } }
      })
  }

  private func run(_ job: FetchJob) async {
    let outcome: Outcome
    do {
      outcome = try await attempt(job)
    } catch {
      outcome = .later(seconds: 5, reason: "the hub cannot reach its database", counts: false)
    }
    await record(outcome, job)
  }

  // MARK: One attempt

  private func attempt(_ job: FetchJob) async throws -> Outcome {
    guard job.attempts <= Self.attemptsMax else { return .failed("the file could not be fetched") }
    guard !job.isDeleted else { return .failed("the message was deleted") }
    let attachment = Attachment(source: job.source)
    if let size = attachment.sizeBytes, size > Int64(limits.bytesMax) { return tooLarge(job) }
    guard let platform = PlatformCatalogue.named(job.platform) else {
      return .failed("this hub does not know \(job.platform)")
    }
    let account = try await store.owner(
      of: job.account, tenant: job.tenant, platform: platform.name, keys: keys)
    if let delivery = job.source["delivery"]?.string.flatMap({ UUIDv7($0) }) {
      return try await part(of: delivery, job, attachment, platform, account)
    }
    guard !account.isDisabled, !account.isApp else { return .failed("the account is disabled") }
    if let end = gate.pause(of: account, now: clock.now()) {
      let wait = Double(end.microseconds - clock.now().microseconds) / 1_000_000
      return .later(seconds: wait, reason: "the platform wants the account to wait", counts: false)
    }
    return await fetch(job, attachment, platform, account)
  }

  private func fetch(
    _ job: FetchJob, _ attachment: Attachment, _ platform: any Platform, _ account: Account
  ) async -> Outcome {
    // A link that a user gave is fetched without anything of the account.
    let isGiven = job.source["from"]?.string == "user"
    var renewed = false
    while true {
      var file = FileJob(
        attachment: attachment, conversation: job.conversation, messageID: job.externalID,
        details: job.details,
        account: account.externalID, secrets: isGiven ? AccountSecrets() : account.secrets, now: clock.now())
      if !isGiven {
        do throws(APIFailure) {
          file.token = try await tokens.token(for: account, platform, renew: renewed)
        } catch {
          return outcome(of: error, job, account)
        }
      }
      switch await dialogue(file, isGiven ? nil : platform as? any FilePlatform, job) {
      case .success(let outcome): return outcome
      case .failure(let failure):
        if failure.remedy == .renewToken && !renewed {
          renewed = true
          continue
        }
        return outcome(of: failure, job, account)
      }
    }
  }

  /// Step after step until the file is there or the platform says why not.
  private func dialogue(
    _ file: FileJob, _ platform: (any FilePlatform)?, _ job: FetchJob
  ) async -> Result<Outcome, APIFailure> {
    var answers: [APIAnswer] = []
    for _ in 0..<Self.callsMax {
      let download: Download
      switch platform?.fetch(file, after: answers) ?? FileFetch.plain(file, after: answers) {
      case .failed(let failure): return .failure(failure)
      case .call(let request):
        do throws(CallFault) {
          answers.append(try await caller.call(request))
        } catch {
          return .failure(APIFailure(Self.words(error), .later(seconds: nil)))
        }
        continue
      case .download(let request): download = await self.download(request, file, job, takesText: true)
      case .downloadOrAnswer(let request):
        download = await self.download(request, file, job, takesText: false)
      case .content(let bytes): download = await keep(bytes, file.attachment, job)
      }
      switch download {
      case .stored(let type, let bytes): return .success(.stored(type: type, bytes: bytes))
      case .refused(let answer): answers.append(answer)
      case .failed(let failure): return .failure(failure)
      }
    }
    return .failure(APIFailure("the platform asked for too many calls"))
  }

  private static func words(_ fault: CallFault) -> String {
    switch fault {
    case .notSent(let reason), .unanswered(let reason), .file(let reason), .tooLarge(let reason): reason
    }
  }

  // MARK: Files that came with their message

  /// Nobody is asked: the hub has the delivery.
  private func part(
    of delivery: UUIDv7, _ job: FetchJob, _ attachment: Attachment, _ platform: any Platform,
    _ account: Account
  ) async throws -> Outcome {
    let name = attachment.externalID ?? ""
    guard let bytes = try await parts.bytes(of: name, in: delivery, platform, account) else {
      return .failed("the delivery that brought the file is not kept any more, or has no such part")
    }
    switch await keep(bytes, attachment, job) {
    case .stored(let type, let bytes): return .stored(type: type, bytes: bytes)
    case .refused: return .failed("the file could not be read")
    case .failed(let failure): return outcome(of: failure, job, account)
    }
  }

  /// Stores a file that is here as a whole.
  private func keep(_ bytes: [UInt8], _ attachment: Attachment, _ job: FetchJob) async -> Download {
    guard bytes.count <= limits.bytesMax else { return .failed(APIFailure(sizeReason)) }
    do {
      let type = try FileCheck.type(
        attachment.kind, claimed: attachment.mimeType, name: attachment.name,
        head: Array(bytes.prefix(MediaSignature.bytes)))
      try await files.write(job.key, bytes)
      return .stored(type: type, bytes: Int64(bytes.count))
    } catch let mismatch as FileCheck.Mismatch {
      return .failed(failure(mismatch))
    } catch {
      return .failed(failure(FileDownload.Fault.store(error)))
    }
  }

  // MARK: The download

  private func download(
    _ request: APIRequest, _ file: FileJob, _ job: FetchJob, takesText: Bool
  ) async -> Download {
    let outgoing: HTTPClientRequest
    do throws(HTTPClientError) {
      outgoing = try self.request(request, FileOrigins(file.secrets))
    } catch {
      return .failed(APIFailure("the link of the file cannot be used"))
    }
    let download = FileDownload(
      store: files, key: job.key, bytesMax: limits.bytesMax, takesText: takesText)
    do {
      let response = try await caller.client.stream(outgoing) { try await download.take($0) }
      guard response.status.code == 200, download.isFile else {
        return .refused(
          APIAnswer(
            status: response.status.code,
            headers: response.headers.fields.map { APIField($0.name, $0.value) }, body: download.refusal))
      }
      let type = try FileCheck.type(
        file.attachment.kind, claimed: file.attachment.mimeType, name: file.attachment.name,
        head: download.head)
      try await download.finish()
      return .stored(type: type, bytes: download.count)
    } catch {
      await download.cancel()
      return .failed(failure(error))
    }
  }

  /// Links lead into the network behind the hub only where the account's owner named that very server.
  private func request(
    _ request: APIRequest, _ own: FileOrigins
  ) throws(HTTPClientError) -> HTTPClientRequest {
    var outgoing = try HTTPClientRequest(HTTPMethod(request.method), request.url)
    for field in request.headers { outgoing.headers.add(field.name, field.value) }
    let policy: AddressPolicy = limits.allowsPrivateAddresses ? .any : .publicOnly
    outgoing.addressPolicy = own.contains(request.url) ? .any : policy
    outgoing.redirectAddressPolicy = policy
    outgoing.redirectsMax = Self.redirectsMax
    outgoing.responseBytesMax = limits.bytesMax
    outgoing.timeout = limits.time
    outgoing.silenceMax = limits.time / 4
    return outgoing
  }

  private func failure(_ error: any Error) -> APIFailure {
    switch error {
    case let mismatch as FileCheck.Mismatch: return APIFailure(mismatch.reason)
    case FileDownload.Fault.tooLarge: return APIFailure(sizeReason)
    case FileDownload.Fault.store(let fault):
      log.warning("a file cannot be stored", ["error": .string("\(fault)")])
      return APIFailure("the hub cannot reach its file store", .later(seconds: nil))
    case let error as HTTPClientError:
      switch error {
      case .unanswered(.answerTooLarge): return APIFailure(sizeReason)
      case .notSent(.addressRefused), .unanswered(.redirectFailed(.addressRefused)):
        return APIFailure("the link of the file does not lead to a public address")
      case .notSent(.urlMalformed), .notSent(.requestMalformed):
        return APIFailure("the link of the file cannot be used")
      default: return APIFailure("\(error)", .later(seconds: nil))
      }
    default: return APIFailure("the file could not be read", .later(seconds: nil))
    }
  }

  private var sizeReason: String { "the file is larger than \(limits.bytesMax) bytes" }

  private func tooLarge(_ job: FetchJob) -> Outcome { .failed(sizeReason) }

  // MARK: What it comes to

  /// A file that cannot be had says nothing of the account: its state stays as it is.
  private func outcome(of failure: APIFailure, _ job: FetchJob, _ account: Account) -> Outcome {
    switch failure.remedy {
    case .none, .restart, .renewToken, .credentials: return .failed(failure.reason)
    case .later(let seconds): return .later(seconds: seconds, reason: failure.reason, counts: true)
    case .unknown: return .later(seconds: nil, reason: failure.reason, counts: true)
    case .pauseAccount(let seconds):
      gate.pauseAccount(account, seconds: seconds, now: clock.now())
      return .later(seconds: seconds, reason: failure.reason, counts: false)
    case .pauseApp(let seconds):
      gate.pauseApp(account, seconds: seconds, now: clock.now())
      return .later(seconds: seconds, reason: failure.reason, counts: false)
    }
  }

  // MARK: Writing it down

  /// A database that is away is waited for. If the node dies meanwhile, another fetches the file again.
  private func record(_ outcome: Outcome, _ job: FetchJob) async {
    for turn in 0..<Self.recordTries {
      do {
        relay.publish(try await write(outcome, job))
        return
      } catch {
        log.warning(
          "the outcome of a fetch cannot be written",
          ["message": .string("\(job.message)"), "error": .string("\(error)")])
        try? await loop.sleep(for: .milliseconds(min(5_000, 100 << min(turn, 6))))
      }
    }
  }

  private func write(_ outcome: Outcome, _ job: FetchJob) async throws -> [UserEvent] {
    switch outcome {
    case .stored(let type, let bytes):
      let events = try await store.fileStored(job, node: node, type: type, bytes: bytes)
      metrics.fetched(job.platform, .stored, bytes: Int(bytes))
      return events
    case .failed(let reason): return try await fail(job, reason)
    case .later(let seconds, let reason, let counts):
      guard !counts || job.attempts < Self.attemptsMax else { return try await fail(job, reason) }
      let backoff = Backoff.seconds(
        attempt: job.attempts, base: 2, limit: 3_600, random: HubNode.random())
      // What was told is the least; who is told nothing of use backs off all the same.
      let wait = counts ? max(seconds ?? 0, backoff) : seconds ?? backoff
      try await store.fileLater(job, node: node, waitSeconds: wait, reason: reason, counts: counts)
      metrics.fetched(job.platform, .later)
      return []
    }
  }

  private func fail(_ job: FetchJob, _ reason: String) async throws -> [UserEvent] {
    let events = try await store.fileFailed(job, node: node, reason: reason)
    metrics.fetched(job.platform, .failed)
    log.info(
      "an attachment cannot be fetched",
      [
        "message": .string("\(job.message)"), "position": .integer(Int64(job.position)),
        "platform": .string(job.platform), "reason": .string(reason),
      ])
    return events
  }
}

extension Attachment {
  /// As `ItemJSON` wrote it.
  init(source: JSONValue) {
    self.init(
      kind: source["kind"]?.string.flatMap { Kind(rawValue: $0) } ?? .file,
      externalID: source["externalId"]?.string, url: source["url"]?.string, name: source["name"]?.string,
      mimeType: source["mime"]?.string, sizeBytes: source["size"]?.integer,
      caption: source["caption"]?.string)
  }
}
