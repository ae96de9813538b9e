package import Bytes
package import JSON
package import MailWire
package import Messaging

/// A platform on which users can answer. Pure: a job goes in, the next call comes out.
package protocol SendingPlatform: Platform {
  /// Whether the platform itself does an action once that comes twice with the same `SendJob.key`.
  func isRepeatable(_ action: OutboundAction) -> Bool

  /// Whether the platform tells of what this account did (as an outbound message, or a change), so that a
  /// call without an answer can be settled by waiting.
  var echoes: Bool { get }

  /// Whether an answer to a message stands in a thread that is called after that message, or in its thread.
  var answersMakeThreads: Bool { get }

  /// Why an action cannot be done here, beyond what `capabilities` say; nil: it can.
  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal?

  /// The next step of a job. Called first without answers, then with the answer to each call that it asked
  /// for, until it ends. The same answers give the same step.
  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep
}

extension SendingPlatform {
  package func isRepeatable(_ action: OutboundAction) -> Bool {
    switch action {
    case .message: false
    // Saying the same once more changes nothing.
    case .edit, .delete, .react, .read, .typing: true
    }
  }

  package var echoes: Bool { false }
  package var answersMakeThreads: Bool { false }
  package func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? { nil }
}

/// What a platform is asked to do, with all that it may need to know.
package struct SendJob: Sendable, Equatable {
  package var action: OutboundAction
  package var conversation: ConversationRef
  /// The other side of a direct conversation, where it is known.
  package var recipient: Person?
  /// When the other side last wrote; nil: never.
  package var lastInboundAt: Timestamp?
  /// The platform's id of the other side's last message.
  package var lastInboundID: String?
  /// The `details` of that message: some platforms say in it where answers go.
  package var lastInboundDetails: JSONValue?
  /// The thread that it is in.
  package var lastInboundThreadID: String?
  /// The thread of the message that the action is about.
  package var subjectThreadID: String?
  /// The `details` of that message, or of the one that is answered.
  package var subjectDetails: JSONValue?
  /// The platform's own id of the account, where it is known.
  package var account: String?
  package var secrets: AccountSecrets
  /// A fresh access token of the platform's `tokenSource`.
  package var token: String?
  /// The same for every attempt; letters, digits and hyphens.
  package var key: String
  package var now: Timestamp

  package init(
    action: OutboundAction, conversation: ConversationRef, recipient: Person? = nil,
    lastInboundAt: Timestamp? = nil, lastInboundID: String? = nil, lastInboundDetails: JSONValue? = nil,
    lastInboundThreadID: String? = nil, subjectThreadID: String? = nil,
    subjectDetails: JSONValue? = nil, account: String? = nil, secrets: AccountSecrets, token: String? = nil,
    key: String, now: Timestamp
  ) {
    self.action = action
    self.conversation = conversation
    self.recipient = recipient
    self.lastInboundAt = lastInboundAt
    self.lastInboundID = lastInboundID
    self.lastInboundDetails = lastInboundDetails
    self.lastInboundThreadID = lastInboundThreadID
    self.subjectThreadID = subjectThreadID
    self.subjectDetails = subjectDetails
    self.account = account
    self.secrets = secrets
    self.token = token
    self.key = key
    self.now = now
  }
}

/// What is to be done next for a job.
package enum SendStep: Sendable, Equatable {
  case call(APIRequest)
  /// To be sent by mail, with the job's files; of a `MailboxPlatform`. Its answer has the status and the
  /// words of the mail server that took it.
  case mail(MailDraft)
  case done(SendReceipt)
  case failed(APIFailure)

  /// Whether somebody is asked.
  package var isRequest: Bool {
    switch self {
    case .call, .mail: true
    case .done, .failed: false
    }
  }
}

/// What the platform said of what it did.
package struct SendReceipt: Sendable, Equatable {
  /// Its id of the message; nil: it gave none.
  package var messageID: String?
  /// When it says that it was sent.
  package var sentAt: Timestamp?
  /// Its own order among messages of one moment.
  package var order: Int64?
  /// How far it got already.
  package var status: MessageStatus

  package init(
    messageID: String? = nil, sentAt: Timestamp? = nil, order: Int64? = nil, status: MessageStatus = .sent
  ) {
    self.messageID = messageID
    self.sentAt = sentAt
    self.order = order
    self.status = status
  }
}

/// Why something cannot be sent, known before the network is asked.
package struct SendRefusal: Error, Sendable, Equatable {
  /// Stable; documented in the README.
  package enum Code: String, Sendable {
    case notSupported = "not_supported"
    case kindNotSupported = "kind_not_supported"
    case textTooLong = "text_too_long"
    case tooOld = "too_old"
    case replyWindowClosed = "reply_window_closed"
    case missingCredentials = "missing_credentials"
    case invalidContent = "invalid_content"
  }

  package let code: Code
  /// For people.
  package let reason: String

  package init(_ code: Code, _ reason: String) {
    self.code = code
    self.reason = reason
  }
}
