import EventLoop
import HTTPClient
import HTTPWire
import JSON
import Platforms

/// A stream of server-sent events that is kept open between the pages that are made of it.
///
/// What comes is kept until it is asked for, within bounds; past them the stream is not read on, which holds
/// the server up. It belongs to the task that reads the account.
actor EventStream {
  /// The longest time without a byte: servers say from time to time that they are there.
  private static let silenceMax: Duration = .seconds(60)
  private static let eventsMax = 500
  private static let bytesMax = 4 << 20
  /// Of everything that one stream brings; then it is opened again.
  private static let streamBytesMax = 1 << 30
  private static let refusalBytesMax = 64 << 10

  nonisolated let loop: EventLoop
  private let caller: PlatformCaller
  private let request: APIRequest
  private var parser = ServerSentEventParser()
  private var events: [ServerSentEvent] = []
  private var bytes = 0
  /// The server's answer, when it is no stream.
  private var refusal: APIAnswer?
  private var refusalBody: [UInt8]?
  private var fault: CallFault?
  private var reader: CheckedContinuation<Void, Never>?
  private var writer: CheckedContinuation<Void, Never>?
  private var task: Task<Void, Never>?

  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  init(_ request: APIRequest, _ caller: PlatformCaller) {
    loop = caller.client.loop
    self.caller = caller
    self.request = request
  }

  /// What has come, as the answer that `PollStep.listen` promises; waits until there is something, at most
  /// until a time.
  func answer(until end: LoopInstant) async throws(CallFault) -> APIAnswer {
    if task == nil { task = Task { await withTaskExecutorPreference(loop) { await self.read() } } }
    if events.isEmpty, refusal == nil, fault == nil, loop.now < end, !Task.isCancelled {
      await wait(until: end)
    }
    if !events.isEmpty { return APIAnswer(status: 200, body: taken().encoded()) }
    if let refusal { return refusal }
    if let fault { throw fault }
    return APIAnswer(status: 200, body: Array("[]".utf8))
  }

  func close() {
    task?.cancel()
    fault = fault ?? .unanswered("the stream was closed")
    resume()
  }

  // MARK: The reader's side

  private func wait(until end: LoopInstant) async {
    let timer = loop.schedule(at: end) { self.assumeIsolated { $0.resumeReader() } }
    await withTaskCancellationHandler {
      await suspendReader()
    } onCancel: {
      loop.execute { self.assumeIsolated { $0.cancelled() } }
    }
    loop.cancel(timer)
  }

  private func suspendReader() async {
    // Something may have come on the way here.
    guard events.isEmpty, refusal == nil, fault == nil else { return }
    await withCheckedContinuation { reader = $0 }
  }

  private func cancelled() {
    fault = fault ?? .unanswered("the reader was cancelled")
    resume()
  }

  private func taken() -> JSONValue {
    let list = events.map { event -> JSONValue in
      ["event": .string(event.name), "data": .string(event.data)]
    }
    events = []
    bytes = 0
    resumeWriter()
    return .array(list)
  }

  private func resumeReader() {
    reader?.resume()
    reader = nil
  }

  private func resumeWriter() {
    writer?.resume()
    writer = nil
  }

  private func resume() {
    resumeReader()
    resumeWriter()
  }

  // MARK: The stream's side

  private func read() async {
    do {
      var outgoing = try caller.head(request)
      outgoing.silenceMax = Self.silenceMax
      outgoing.responseBytesMax = Self.streamBytesMax
      let response = try await caller.client.stream(outgoing) { event in try await self.take(event) }
      ended(response)
    } catch let error as CallFault {
      fault = error
    } catch let error as HTTPClientError {
      switch error {
      case .notSent(let reason): fault = .notSent("\(reason)")
      case .unanswered(let reason): fault = .unanswered("\(reason)")
      }
    } catch {
      fault = .unanswered("the stream cannot be read: \(error)")
    }
    resume()
  }

  private func ended(_ response: HTTPClientResponse) {
    guard let body = refusalBody else {
      fault = .unanswered("the stream ended")
      return
    }
    refusal = APIAnswer(
      status: response.status.code,
      headers: response.headers.fields.map { APIField($0.name, $0.value) }, body: body)
  }

  private func take(_ event: HTTPClientStreamEvent) async throws {
    switch event {
    case .head(let head):
      let isStream = head.headers["Content-Type"]?.lowercased().hasPrefix("text/event-stream") ?? false
      if head.status.code != 200 || !isStream { refusalBody = [] }
    case .part(let part):
      if let body = refusalBody {
        refusalBody = Array((body + part).prefix(Self.refusalBytesMax))
        return
      }
      for event in try parser.read(part) {
        events.append(event)
        bytes += event.data.utf8.count
      }
      if !events.isEmpty { resumeReader() }
      // Looked at again behind each wait: the reader may have taken some, or the stream was closed.
      while fault == nil, events.count >= Self.eventsMax || bytes >= Self.bytesMax {
        await withCheckedContinuation { writer = $0 }
      }
    }
  }
}
