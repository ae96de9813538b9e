import Bytes
import Hub
import Platforms

/// What reading and verifying cost: every sample of every platform, again and again, in this process.
struct NormaliseSection {
  private static let receivedAt = Timestamp(seconds: 1_795_219_200)

  let options: BenchOptions

  private struct Sum {
    var seconds = 0.0
    var messages = 0

    var microsecondsEach: Double { messages == 0 ? 0 : seconds / Double(messages) * 1e6 }
  }

  func measure() throws -> [Figure] {
    var figures: [Figure] = []
    var verifying: [Figure] = []
    var total = Sum()
    for platform in PlatformCatalogue.all {
      let name = platform.name.rawValue
      let samples = WebhookSamples.names(platform: name).compactMap { sample in
        WebhookSamples.sample(platform: name, name: sample).flatMap { WebhookSample(parsing: $0) }
      }
      guard !samples.isEmpty else { continue }
      let sum = measure(samples.map { delivery($0, platform) }, platform)
      total.seconds += sum.seconds
      total.messages += sum.messages
      figures.append(Figure("\(name)_us", platform.displayName, sum.microsecondsEach, "us/message"))
      if let cost = VerificationCost(platform: platform).measure(samples) {
        verifying.append(
          Figure("\(name)_verify_us", "\(platform.displayName), verifying", cost, "us/request"))
      }
    }
    guard total.messages > 0 else { throw BenchFailure("there are no samples") }
    let mean = Figure(
      "mean_us", "over all samples", total.microsecondsEach, "us/message", goal: "< 30")
    return [mean] + figures + verifying
  }

  /// Samples are a hundred or two for each platform: enough turns that the clock's grain is nothing.
  private func measure(_ deliveries: [WebhookDelivery], _ platform: any Platform) -> Sum {
    var sum = Sum()
    let turns = 50
    for turn in 0...turns {
      let start = ThreadClock.seconds
      var messages = 0
      for delivery in deliveries {
        // A delivery of nothing but a status costs what it costs: it counts as one.
        messages += max(1, (try? platform.normalise(delivery))?.items.count ?? 0)
      }
      // The first turn fills the caches. In a hub, verifying fills that of what an account's keys opened.
      guard turn > 0 else { continue }
      sum.seconds += ThreadClock.seconds - start
      sum.messages += messages
    }
    return sum
  }

  private func delivery(_ sample: WebhookSample, _ platform: any Platform) -> WebhookDelivery {
    let request = sample.request(url: "https://hub.example.com/webhooks/\(platform.name)/key")
    return WebhookDelivery(
      body: request.content, headers: KeptHeaders(of: request, platform: platform),
      receivedAt: Self.receivedAt, secrets: sample.credentials)
  }
}
