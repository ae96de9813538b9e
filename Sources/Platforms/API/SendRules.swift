package import Bytes
import JSON
import Messaging

/// What can be refused before the network is asked, by what the platform says of itself.
package enum SendRules {
  /// The message that an edit or a deletion is about.
  package struct Target: Sendable {
    package var sentAt: Timestamp
    package var isOutbound: Bool

    package init(sentAt: Timestamp, isOutbound: Bool) {
      self.sentAt = sentAt
      self.isOutbound = isOutbound
    }
  }

  /// nil: it can be tried.
  package static func refusal(
    of job: SendJob, on platform: any Platform, target: Target? = nil
  ) -> SendRefusal? {
    guard let sender = platform as? any SendingPlatform else {
      return SendRefusal(.notSupported, "\(platform.displayName) cannot be written to")
    }
    let can = platform.capabilities
    let refusal: SendRefusal? =
      switch job.action {
      case .message(let message): self.refusal(of: message, can, platform, job)
      case .edit(let edit): edited(edit.text, can, platform, target, job.now)
      case .delete: deleted(can, platform, target, job.now)
      case .react: can.canReact ? nil : unable(platform, "takes no reactions")
      case .read: can.canMarkRead ? nil : unable(platform, "is not told what was read")
      case .typing: can.hasTyping ? nil : unable(platform, "does not show typing")
      }
    return refusal ?? sender.refusal(of: job.action, job)
  }

  private static func unable(_ platform: any Platform, _ what: String) -> SendRefusal {
    SendRefusal(.notSupported, "\(platform.displayName) \(what)")
  }

  private static func refusal(
    of message: OutboundMessage, _ can: ConversationCapabilities, _ platform: any Platform, _ job: SendJob
  ) -> SendRefusal? {
    guard can.canReply else { return unable(platform, "cannot be written to") }
    guard can.kinds.contains(message.kind) else {
      return SendRefusal(.kindNotSupported, "\(platform.displayName) does not take \(message.kind.rawValue)")
    }
    if !message.files.isEmpty && !can.canAttach { return unable(platform, "takes no attachments") }
    if message.replyTo != nil && !can.canQuote { return unable(platform, "cannot quote a message") }
    if let refusal = tooLong(message.text, can, platform) { return refusal }
    return closed(can, platform, message, job)
  }

  private static func tooLong(
    _ text: String?, _ can: ConversationCapabilities, _ platform: any Platform
  ) -> SendRefusal? {
    guard let max = can.textUnitsMax, let count = text?.utf16.count, count > max else { return nil }
    return SendRefusal(.textTooLong, "\(platform.displayName) takes \(max) characters at most, not \(count)")
  }

  /// Some messages may be sent at any time: those that the platform itself approved (templates), for one.
  private static func closed(
    _ can: ConversationCapabilities, _ platform: any Platform, _ message: OutboundMessage, _ job: SendJob
  ) -> SendRefusal? {
    guard let window = can.replyWindow else { return nil }
    if let free = can.afterReplyWindow, message.extras?[free] != nil { return nil }
    guard let last = job.lastInboundAt else {
      return SendRefusal(.replyWindowClosed, "on \(platform.displayName) the other side has to write first")
    }
    guard job.now.seconds - last.seconds > Int64(window) else { return nil }
    let length = window < 3_600 ? "\(window) seconds" : "\(window / 3_600) hours"
    return SendRefusal(
      .replyWindowClosed,
      "\(platform.displayName) lets answers through for \(length) after the other side wrote; "
        + "its last message is from \(last.rfc3339)")
  }

  private static func edited(
    _ text: String, _ can: ConversationCapabilities, _ platform: any Platform, _ target: Target?,
    _ now: Timestamp
  ) -> SendRefusal? {
    guard can.canEdit else { return unable(platform, "cannot edit messages") }
    guard target?.isOutbound != false else { return unable(platform, "edits only what was sent from here") }
    return tooOld(can.editAgeMax, "edited", platform, target, now) ?? tooLong(text, can, platform)
  }

  private static func deleted(
    _ can: ConversationCapabilities, _ platform: any Platform, _ target: Target?, _ now: Timestamp
  ) -> SendRefusal? {
    guard can.canDelete else { return unable(platform, "cannot delete messages") }
    return tooOld(can.deleteAgeMax, "deleted", platform, target, now)
  }

  private static func tooOld(
    _ limit: Int?, _ what: String, _ platform: any Platform, _ target: Target?, _ now: Timestamp
  ) -> SendRefusal? {
    guard let limit, let target, now.seconds - target.sentAt.seconds > Int64(limit) else { return nil }
    return SendRefusal(
      .tooOld, "on \(platform.displayName) a message can be \(what) for \(limit / 60) minutes")
  }
}
