import Messaging

/// Answers as an Instagram professional account; how stands in `MessengerSender`.
extension InstagramPlatform: SendingPlatform {
  private static let sender = MessengerSender(isInstagram: true)

  var echoes: Bool { true }

  func refusal(of action: OutboundAction, _ job: SendJob) -> SendRefusal? {
    Self.sender.refusal(of: action, job)
  }

  func next(_ job: SendJob, after answers: [APIAnswer]) -> SendStep {
    Self.sender.next(job, after: answers, isRepeatable: isRepeatable(job.action))
  }
}
