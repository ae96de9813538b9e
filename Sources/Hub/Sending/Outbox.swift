import Bytes
import JSON
import Messaging
import Platforms
package import Security

/// Where users put what they want to be done: checks it against what the platform can do in the
/// conversation, makes the message and its job, and wakes the worker.
package struct Outbox: Sendable {
  package let store: HubStore
  package let relay: EventRelay
  package let worker: JobWorker
  package let presence: PresenceSender
  package let ids: IDSource
  package let keys: KeyRing
  package let clock: WallClock
  package let uploads: Uploads
  package let links: FileLinks
  package let gate: RateGate

  /// What came of a request.
  enum Result: Sendable {
    case made(UUIDv7)
    /// An earlier request with the same key made it.
    case repeated(UUIDv7)
  }

  // MARK: Messages

  /// - Throws: `Problem`, `HubStoreError.notFound`.
  func send(
    _ draft: MessageDraft, in conversation: UUIDv7, by user: UserKey, key: IdempotencyKey?
  ) async throws -> Result {
    // What was made is there, whatever has become of the account, the window or the upload since.
    if let key, let earlier = try await store.result(of: key, user) {
      guard case .repeated(let id) = earlier else { throw Problem.idempotencyConflict }
      return .repeated(id)
    }
    let target = try await store.sendTarget(user, conversation: conversation, message: draft.replyTo)
    if draft.replyTo != nil && target.subject == nil {
      throw Problem.invalid("'replyTo' is no message of this conversation", field: "replyTo")
    }
    let (account, sender) = try await writable(target, user)
    var content = OutboundMessage(
      text: draft.text, files: try await uploads.files(draft.files, by: user),
      replyTo: target.subject?.externalID, replyThreadID: target.subject?.threadID,
      threadID: draft.threadID, extras: draft.extras)
    content.kind =
      draft.kind ?? content.files.first.flatMap { MessageKind(rawValue: $0.kind.rawValue) } ?? .text
    try check(links.published(.message(content), now: clock.now()), target, account, sender)
    let message = QueuedMessage(
      conversation: conversation, message: ids.next(), job: ids.next(), content: content,
      attachments: ItemJSON.attachments(content.files), threadID: Self.thread(of: content, sender),
      isRepeatable: sender.isRepeatable(.message(content)), at: clock.now())
    do {
      relay.publish(try await store.queueMessage(user, message, key: key))
    } catch IdempotencyOutcome.repeated(let id) {
      return .repeated(id)
    } catch IdempotencyOutcome.conflict {
      throw Problem.idempotencyConflict
    }
    if account.settings.sendsReceipts(on: .reply) {
      _ = try? await receipt(in: conversation, upTo: nil, by: user, on: .reply)
    }
    worker.wake()
    return .made(message.message)
  }

  /// The thread in which the message will stand, as far as that is known by now.
  private static func thread(of message: OutboundMessage, _ sender: any SendingPlatform) -> String? {
    message.threadID ?? message.replyThreadID ?? (sender.answersMakeThreads ? message.replyTo : nil)
  }

  // MARK: Everything else

  /// Queues what is about a message: an edit, a deletion, a reaction, a read receipt.
  /// - Parameter make: the action, from the platform's id of the message.
  /// - Returns: the id of the job.
  func act(
    on message: UUIDv7, in conversation: UUIDv7, by user: UserKey, _ make: (String) -> OutboundAction
  ) async throws -> UUIDv7 {
    let target = try await store.sendTarget(user, conversation: conversation, message: message)
    guard let subject = target.subject else { throw HubStoreError.notFound }
    guard !subject.externalID.hasPrefix("local:") else {
      throw Problem(
        409, "not_sent_yet", "The message is not on the platform yet", detail: "wait until its status is sent"
      )
    }
    let (account, sender) = try await writable(target, user)
    let action = make(subject.externalID)
    try check(
      action, target, account, sender,
      subject: SendRules.Target(sentAt: subject.sentAt, isOutbound: subject.isOutbound))
    let job = ids.next()
    try await store.queueAction(
      user, action, conversation: conversation, message: message, job: job,
      isRepeatable: sender.isRepeatable(action))
    worker.wake()
    return job
  }

  // MARK: Rules

  private func writable(
    _ target: SendTarget, _ user: UserKey
  ) async throws -> (Account, any SendingPlatform) {
    let account = try await store.account(target.account, tenant: user.tenant, keys: keys)
    guard let account, !account.isDisabled else {
      throw Problem(
        422, "account_disabled", "The account cannot send", detail: "it is disabled or was deleted")
    }
    guard let sender = PlatformCatalogue.named(account.platform.rawValue) as? any SendingPlatform else {
      throw Problem(SendRefusal(.notSupported, "\(account.platform) cannot be written to"))
    }
    return (account, sender)
  }

  private func check(
    _ action: OutboundAction, _ target: SendTarget, _ account: Account, _ sender: any SendingPlatform,
    subject: SendRules.Target? = nil
  ) throws(Problem) {
    let job = SendJob(
      action: action, conversation: target.conversation, recipient: target.lastSender,
      lastInboundAt: target.lastInboundAt, lastInboundID: target.lastInboundID,
      lastInboundDetails: target.lastInboundDetails, lastInboundThreadID: target.lastInboundThreadID,
      subjectThreadID: target.subject?.threadID, subjectDetails: target.subject?.details,
      account: account.externalID,
      secrets: account.secrets, key: "check", now: clock.now())
    if let refusal = SendRules.refusal(of: job, on: sender, target: subject) { throw Problem(refusal) }
  }
}

extension Problem {
  init(_ refusal: SendRefusal) {
    self.init(422, refusal.code.rawValue, "This cannot be sent here", detail: refusal.reason)
  }

  static let idempotencyConflict = Problem(
    409, "idempotency_conflict", "The Idempotency-Key was used before",
    detail: "it stands for another request; take a new key for a new request")
}
