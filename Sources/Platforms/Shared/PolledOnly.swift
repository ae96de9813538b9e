/// Platforms that call no webhook.
enum PolledOnly {
  static let verdict = WebhookVerdict.refused(reason: "the platform has no webhooks: the account is polled")
}
