import Bytes
import Platforms

/// How an account is to be polled, from what its platform can, what its credentials let and what its users
/// decided.
enum PollingPolicy {
  /// The role of `polls`: live, sweep or off.
  static func role(_ platform: any Platform, _ secrets: AccountSecrets, _ settings: AccountSettings) -> String
  {
    guard let poller = platform as? any PolledPlatform, settings.polling != .off, poller.canPoll(secrets)
    else {
      return "off"
    }
    if settings.polling == .on { return "live" }
    switch poller.polling.role {
    case .primary: return "live"
    case .sweep: return "sweep"
    case .alternative: return "off"
    }
  }

  /// What is older than this is not imported; nil: nothing is.
  static func historyAfter(
    _ platform: any Platform, _ settings: AccountSettings, now: Timestamp
  ) -> Timestamp? {
    guard let poller = platform as? any PolledPlatform, poller.polling.hasHistory, settings.historyDays > 0
    else {
      return nil
    }
    return Timestamp(seconds: now.seconds - Int64(settings.historyDays) * 86_400)
  }
}
