import Messaging

/// Reads an Instagram account's conversations; how stands in `ConversationPoller`.
extension InstagramPlatform: PollingPlatform {
  private static let poller = ConversationPoller(isInstagram: true)

  var polling: PollingPlan { ConversationPoller.plan }

  func canPoll(_ secrets: AccountSecrets) -> Bool {
    secrets.first(MetaAPI.tokenField) != nil && secrets.first(Self.accountIDField) != nil
  }

  func poll(_ job: PollJob, after answers: [APIAnswer]) -> PollStep {
    Self.poller.poll(
      job, after: answers, account: job.secrets.first(Self.accountIDField) ?? job.account ?? "me")
  }
}
