import Bytes
import Hub
import Platforms

/// What checking a signature costs: every sample of a platform signed once and verified again and again, in
/// this process.
struct VerificationCost {
  private static let now = Timestamp(seconds: 1_795_219_200)
  private static let turns = 50
  /// What most credentials can be: a text, 32 bytes in hexadecimal, or 48 in base64.
  private static let filler = String(repeating: "5a", count: 32)

  let platform: any Platform

  /// Microseconds a request; nil when no sample can be signed with made-up secrets.
  func measure(_ samples: [WebhookSample]) -> Double? {
    guard let (secrets, requests) = signed(samples) else { return nil }
    let context = WebhookContext(secrets: secrets, now: Self.now)
    var seconds = 0.0
    for turn in 0...Self.turns {
      let start = ThreadClock.seconds
      for request in requests { _ = platform.receive(request, context) }
      // The first turn fills the caches.
      if turn > 0 { seconds += ThreadClock.seconds - start }
    }
    return seconds / Double(Self.turns * requests.count) * 1e6
  }

  /// The samples that are taken when they are signed with the first secrets that can sign.
  private func signed(_ samples: [WebhookSample]) -> (AccountSecrets, [WebhookRequest])? {
    let url = "https://hub.example.com/webhooks/\(platform.name)/key"
    for secrets in candidates where platform.fault(in: secrets) == nil {
      let context = WebhookContext(secrets: secrets, now: Self.now)
      let requests = samples.compactMap {
        platform.signed($0.request(url: url), secrets: secrets, now: Self.now, id: "msg_1")
      }.filter { request in
        if case .accepted = platform.receive(request, context) { true } else { false }
      }
      if !requests.isEmpty { return (secrets, requests) }
    }
    return nil
  }

  /// Everything filled, a private key where one is wanted, and only what is needed.
  private var candidates: [AccountSecrets] {
    let generated = platform.generated(for: AccountSecrets()) { [UInt8](repeating: 7, count: $0) }
    let fields = platform.credentials.filter { ($0.isRequired || $0.isSecret) && !$0.isGenerated }
    let first = fields.first { $0.isSecret }?.name
    func secrets(_ fields: [CredentialField], key: String) -> AccountSecrets {
      let values = fields.map { ($0.name, [$0.name == "testKey" ? key : Self.filler]) }
      return AccountSecrets(
        Dictionary(values, uniquingKeysWith: { $1 }).merging(generated.mapValues { [$0] }) { $1 })
    }
    return [
      secrets(fields, key: Self.filler), secrets(fields, key: BenchKey.pem),
      secrets(fields.filter { $0.isRequired || $0.name == first }, key: Self.filler),
    ]
  }
}
