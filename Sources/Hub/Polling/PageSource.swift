import EventLoop
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

/// Pages by calls of a platform's API.
struct CallPages: PageSource {
  private static let callsMax = 200

  let platform: any PollingPlatform
  let caller: PlatformCaller

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
          let reason =
            switch error {
            case .notSent(let text), .unanswered(let text), .file(let text): text
            }
          throw APIFailure(reason, .later(seconds: nil))
        }
      }
    }
    throw APIFailure("one page asked for too many calls", .later(seconds: nil))
  }

  func close() async {}
}
