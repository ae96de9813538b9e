package import Bytes
package import JSON
import Messaging

/// A platform that can be read by asking, in whatever way: see `PollingPlatform` and `MailboxPlatform`.
package protocol PolledPlatform: Platform {
  var polling: PollingPlan { get }

  /// Whether the credentials are enough to poll.
  func canPoll(_ secrets: AccountSecrets) -> Bool
}

/// A platform that is asked by calls of its API. Pure: a cursor goes in, the next call comes out.
package protocol PollingPlatform: PolledPlatform {
  /// The next step of a poll. Called first without answers, then with the answer to each call that it asked
  /// for, until it ends. The same answers give the same step, so a stored poll can be read again.
  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep
}

/// How a platform wants to be asked.
package struct PollingPlan: Sendable, Equatable {
  /// When accounts are polled that nobody decided about.
  package enum Role: Sendable, Equatable {
    /// It has no webhooks, or none that tell everything: always.
    case primary
    /// Its webhooks tell; polling fills the holes after an outage and now and then.
    case sweep
    /// Webhooks and polling exclude each other: only where it is asked for.
    case alternative
  }

  package var role: Role
  /// Seconds between two polls while messages come.
  package var intervalMin: Int
  /// Seconds between two polls while nothing comes.
  package var intervalMax: Int
  /// It answers when there is something, so the next poll follows at once.
  package var isLongPoll: Bool
  /// Messages that were there before the account was connected can be read.
  package var hasHistory: Bool
  /// What it gives out it forgets: that is kept, even when the account is another node's by now.
  package var givesOnce: Bool

  package init(
    role: Role, intervalMin: Int = 5, intervalMax: Int = 300, isLongPoll: Bool = false,
    hasHistory: Bool = false, givesOnce: Bool = false
  ) {
    self.role = role
    self.intervalMin = intervalMin
    self.intervalMax = intervalMax
    self.isLongPoll = isLongPoll
    self.hasHistory = hasHistory
    self.givesOnce = givesOnce
  }
}

/// What a platform is asked for, from where.
package struct PollJob: Sendable, Equatable {
  package enum Mode: Sendable, Equatable {
    /// What came since the cursor. Without a cursor it begins at the job's start: what is older is history.
    case live
    /// What is older than the account, newest first, down to this time.
    case history(notBefore: Timestamp)
    /// Everything since this time once more, to fill holes.
    case sweep(since: Timestamp)

    /// How far back it goes; nil: it goes on from the cursor.
    var limit: Timestamp? {
      switch self {
      case .live: nil
      case .history(let time), .sweep(let time): time
      }
    }
  }

  package var mode: Mode
  /// What the last page of this mode left; nil: the first.
  package var cursor: JSONValue?
  package var account: String?
  package var secrets: AccountSecrets
  /// A fresh access token of the platform's `tokenSource`.
  package var token: String?
  package var now: Timestamp
  /// The platform may keep the question until there is news. False: something else waits behind this page.
  package var mayWait: Bool
  /// How many times sooner than usual the platform is asked again. A stored poll that is read once more was
  /// asked for, however soon it was: its pace is without end.
  package var pace: Double
  /// When polling was set up; nil: now.
  package var begin: Timestamp?

  package init(
    mode: Mode = .live, cursor: JSONValue? = nil, account: String? = nil, secrets: AccountSecrets,
    token: String? = nil, now: Timestamp, mayWait: Bool = true, pace: Double = 1, begin: Timestamp? = nil
  ) {
    self.mode = mode
    self.cursor = cursor
    self.account = account
    self.secrets = secrets
    self.token = token
    self.now = now
    self.mayWait = mayWait
    self.pace = pace
    self.begin = begin
  }

  /// Messages from then on are news, however late the first poll is.
  var start: Timestamp { min(begin ?? now, now) }
}

/// What is to be done next for a poll.
package enum PollStep: Sendable, Equatable {
  case call(APIRequest)
  /// To a stream of server-sent events, which is kept open between the pages. Its answer is what came, or
  /// nothing after a while: a JSON array of `{"event", "data"}`, both texts. A server that refuses the stream
  /// gives its own answer.
  case listen(APIRequest)
  case page(PollPage)
  case failed(APIFailure)
}

/// What one poll found.
package struct PollPage: Sendable, Equatable {
  package var content: Normalised
  /// Where the next one begins; stored with the messages.
  package var cursor: JSONValue
  /// There is more already: the next poll follows at once. In the modes history and sweep: it is not done.
  package var hasMore: Bool

  package init(_ content: Normalised = Normalised(), cursor: JSONValue, hasMore: Bool = false) {
    self.content = content
    self.cursor = cursor
    self.hasMore = hasMore
  }
}
