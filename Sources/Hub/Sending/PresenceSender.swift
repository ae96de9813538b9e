import EventLoop
import Platforms

/// Shows the other side what is no message, once or not at all. Platforms are called from the outbound loop
/// only, where their tokens and connections are.
package actor PresenceSender {
  /// Signs on their way. More are dropped.
  private static let showingMax = 64

  private nonisolated let loop: EventLoop
  private let runner: SendRunner
  private var showing = 0
  private var isStopped = false

  init(loop: EventLoop, runner: SendRunner) {
    self.loop = loop
    self.runner = runner
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  /// From any thread.
  nonisolated func show(_ job: SendJob, _ sender: any SendingPlatform, _ account: Account) {
    loop.execute { self.assumeIsolated { $0.start(job, sender, account) } }
  }

  func stop() { isStopped = true }

  private func start(_ job: SendJob, _ sender: any SendingPlatform, _ account: Account) {
    guard !isStopped, showing < Self.showingMax else { return }
    showing += 1
    Task {
      await withTaskExecutorPreference(loop) { await runner.show(job, sender, account) }
      showing -= 1
    }
  }
}
