import EventLoop
import HTTPClient
import Platforms

/// How the pages of one account are had while it is held: by calls of an API, or out of a mailbox. It belongs
/// to the task that reads the account.
protocol PageSource {
  /// The page behind the job's cursor.
  /// - Parameter end: then the account is given back.
  func page(_ job: PollJob, until end: LoopInstant) async throws(APIFailure) -> FoundPage

  /// The account is given back.
  func close() async
}

/// A page, and what it was read from.
struct FoundPage: Sendable {
  enum Source: Sendable {
    case answers([APIAnswer])
    case mail(FetchedDelivery)
  }

  let page: PollPage
  let source: Source
}

/// Pages by calls of a platform's API, or out of its stream of events.
final class CallPages: PageSource {
  private static let callsMax = 200

  private let platform: any PollingPlatform
  private let caller: PlatformCaller
  private var stream: (request: APIRequest, events: EventStream)?

  init(platform: any PollingPlatform, caller: PlatformCaller) {
    self.platform = platform
    self.caller = caller
  }

  func page(_ job: PollJob, until end: LoopInstant) async throws(APIFailure) -> FoundPage {
    var answers: [APIAnswer] = []
    for _ in 0..<Self.callsMax {
      switch platform.poll(job, after: answers) {
      case .page(let page): return FoundPage(page: page, source: .answers(answers))
      case .failed(let failure): throw failure
      case .call(let request):
        do throws(CallFault) {
          answers.append(try await caller.call(request))
        } catch {
          throw Self.failure(error)
        }
      case .listen(let request):
        answers.append(try await heard(request, until: job.mayWait ? end : caller.client.loop.now))
      }
    }
    throw APIFailure("one page asked for too many calls", .later(seconds: nil))
  }

  /// A stream that ended is opened anew by the next page.
  private func heard(
    _ request: APIRequest, until end: LoopInstant
  ) async throws(APIFailure) -> APIAnswer {
    if let stream, stream.request != request { await close() }
    let events = stream?.events ?? EventStream(request, caller)
    stream = (request, events)
    do throws(CallFault) {
      let answer = try await events.answer(until: end)
      if !answer.isSuccess { await close() }
      return answer
    } catch {
      await close()
      throw Self.failure(error)
    }
  }

  private static func failure(_ fault: CallFault) -> APIFailure {
    let reason =
      switch fault {
      case .notSent(let text), .unanswered(let text), .file(let text), .tooLarge(let text): text
      }
    return APIFailure(reason, .later(seconds: nil))
  }

  func close() async {
    await stream?.events.close()
    stream = nil
  }
}
