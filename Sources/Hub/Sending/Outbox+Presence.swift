import Bytes
import Messaging
import Platforms

/// What the other side sees of the hub's users beside messages: typing and read receipts, as far as the
/// account's policy lets it.
extension Outbox {
  /// Passes typing on to the platform, once or not at all: nobody waits for it and nothing is kept.
  func typing(_ isTyping: Bool, in conversation: UUIDv7, by user: UserKey) async {
    guard let target = try? await store.sendTarget(user, conversation: conversation),
      let account = try? await store.account(target.account, tenant: user.tenant, keys: keys),
      account.settings.passesTyping, !account.isDisabled,
      let sender = PlatformCatalogue.named(account.platform.rawValue) as? any SendingPlatform
    else { return }
    let job = SendJob(
      action: .typing(isTyping), conversation: target.conversation, recipient: target.lastSender,
      lastInboundAt: target.lastInboundAt, lastInboundID: target.lastInboundID,
      lastInboundDetails: target.lastInboundDetails, lastInboundThreadID: target.lastInboundThreadID,
      account: account.externalID,
      secrets: account.secrets, key: "\(ids.next())", now: clock.now())
    guard SendRules.refusal(of: job, on: sender) == nil, gate.pause(of: account, now: clock.now()) == nil
    else {
      return
    }
    presence.show(job, sender, account)
  }

  /// Tells the platform that the account has read, when the account's policy says so.
  /// - Parameter upTo: a message; nil: the other side's last.
  /// - Returns: false: the policy or the platform does not have it.
  func receipt(
    in conversation: UUIDv7, upTo message: UUIDv7?, by user: UserKey,
    on occasion: AccountSettings.ReceiptOccasion
  ) async throws -> Bool {
    let target = try await store.sendTarget(user, conversation: conversation, message: message)
    guard let account = try await store.account(target.account, tenant: user.tenant, keys: keys),
      account.settings.sendsReceipts(on: occasion), !account.isDisabled,
      let sender = PlatformCatalogue.named(account.platform.rawValue) as? any SendingPlatform,
      let last = target.subject.flatMap({ $0.isOutbound ? nil : $0.externalID }) ?? target.lastInboundID
    else { return false }
    let action = OutboundAction.read(upTo: last)
    let job = SendJob(
      action: action, conversation: target.conversation, recipient: target.lastSender,
      lastInboundAt: target.lastInboundAt, lastInboundID: target.lastInboundID,
      lastInboundDetails: target.lastInboundDetails, subjectDetails: target.subject?.details,
      account: account.externalID, secrets: account.secrets, key: "check", now: clock.now())
    guard SendRules.refusal(of: job, on: sender) == nil else { return false }
    try await store.queueAction(
      user, action, conversation: conversation, message: message, job: ids.next(), isRepeatable: true)
    worker.wake()
    return true
  }
}
