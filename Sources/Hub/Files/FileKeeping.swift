package import EventLoop
package import Telemetry

/// Gives up files that nobody needs any more, and deletes them from the store: uploads that were not sent,
/// what an edit took away, what a node left half done, what belonged to a deleted account.
package actor FileKeeping {
  private static let pageCount = 100
  private static let pagesMax = 20

  package nonisolated let loop: EventLoop
  private let store: HubStore
  private let files: any FileStore
  private let interval: Duration
  private let uploadSeconds: Int
  private let log: Logger
  private var isStopped = false

  package init(
    loop: EventLoop, store: HubStore, files: any FileStore, interval: Duration, uploadSeconds: Int,
    log: Logger
  ) {
    self.loop = loop
    self.store = store
    self.files = files
    self.interval = interval
    self.uploadSeconds = uploadSeconds
    self.log = log
  }

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    loop.asUnownedSerialExecutor()
  }

  package func run() async {
    while !isStopped {
      try? await loop.sleep(for: interval)
      guard !isStopped else { return }
      do {
        try await store.releaseFiles(uploadsAfterSeconds: uploadSeconds)
        try await deleteStale()
        try await (files as? FolderFileStore)?.sweep()
      } catch {
        log.debug("housekeeping failed", ["task": .string("files"), "error": .string("\(error)")])
      }
    }
  }

  package func stop() { isStopped = true }

  /// A file that cannot be deleted now is taken again after some minutes.
  private func deleteStale() async throws {
    for _ in 0..<Self.pagesMax {
      let page = try await store.takeStaleFiles(limit: Self.pageCount)
      for (tenant, key) in page {
        try await files.delete(key)
        try await store.forgetStaleFile(tenant: tenant, key: key)
      }
      guard page.count == Self.pageCount, !isStopped else { return }
    }
  }
}
