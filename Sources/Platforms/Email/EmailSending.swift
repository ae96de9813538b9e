import MailWire
import Messaging

/// Answers by mail. A mail that may have gone is not sent again; its copy among the sent mail tells of it.
extension EmailPlatform {
  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    guard case .message(let message) = action else { return .oneWay(displayName, action) }
    guard job.secrets.first(EmailMailbox.smtpHostField) != nil else {
      return .lacking(EmailMailbox.smtpHostField)
    }
    return EmailReply(job, message).refusal
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    guard case .message(let message) = job.action, let draft = EmailReply(job, message).draft else {
      return .impossible(displayName, "do that")
    }
    guard !answers.isEmpty else { return .mail(draft) }
    return .done(SendReceipt(messageID: EmailThread.bounded(draft.messageID)))
  }
}
