import Dispatch
import Glibc
import Synchronization

/// Where lines go. A caller only appends to a buffer under a lock; a queue of the sink's own does the
/// writing, so a slow terminal or pipe blocks no event loop.
///
/// The buffer is bounded. Past the bound lines are dropped and counted, and the count is written as
/// soon as there is room.
package final class LogSink: Sendable {
  private struct State {
    var pending: [UInt8] = []
    var dropped = 0
    var isScheduled = false
  }

  /// Bytes that may wait to be written.
  package static let pendingBytesMax = 1 << 20

  package let format: Logger.Format
  private let output: @Sendable ([UInt8]) -> Void
  private let state = Mutex(State())
  private let threshold: Atomic<Int>
  private let queue = DispatchQueue(label: "log")
  private let pendingBytesMax: Int

  /// - Parameter descriptor: 1 for stdout, 2 for stderr.
  package convenience init(descriptor: Int32, level: LogLevel = .info, format: Logger.Format = .json) {
    self.init(level: level, format: format) { Self.writeAll($0, to: descriptor) }
  }

  /// - Parameter output: called on the sink's queue with whole lines.
  package init(
    level: LogLevel = .info, format: Logger.Format = .json, pendingBytesMax: Int = pendingBytesMax,
    output: @escaping @Sendable ([UInt8]) -> Void
  ) {
    self.format = format
    self.output = output
    self.pendingBytesMax = pendingBytesMax
    threshold = Atomic(level.rawValue)
  }

  /// Lines below it are not written. Can be changed while running.
  package var level: LogLevel {
    get { LogLevel(rawValue: threshold.load(ordering: .relaxed)) ?? .info }
    set { threshold.store(newValue.rawValue, ordering: .relaxed) }
  }

  /// Queues one line that ends in a line feed.
  func write(_ line: [UInt8]) {
    let mustSchedule = state.withLock { state -> Bool in
      guard state.pending.count + line.count <= pendingBytesMax else {
        state.dropped += 1
        return false
      }
      state.pending.append(contentsOf: line)
      defer { state.isScheduled = true }
      return !state.isScheduled
    }
    if mustSchedule { queue.async { self.writePending() } }
  }

  /// Returns when everything that was logged before is written. At program end; it blocks.
  package func flush() {
    queue.sync { writePending() }
  }

  private func writePending() {
    let (bytes, dropped) = state.withLock { state -> ([UInt8], Int) in
      defer { state = State() }
      return (state.pending, state.dropped)
    }
    if !bytes.isEmpty { output(bytes) }
    if dropped > 0 {
      let text = "log lines were dropped"
      let line =
        format == .json
        ? #"{"level":"warning","msg":"\#(text)","event":"log.dropped","lines":\#(dropped)}"# + "\n"
        : "\(dropped) \(text)\n"
      output(Array(line.utf8))
    }
  }

  private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        Glibc.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
      }
      if count > 0 {
        written += count
      } else if errno == EAGAIN {
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = Glibc.poll(&poll, 1, 1_000)
      } else if errno != EINTR {
        // Nobody reads any more; there is nowhere left to say so.
        return
      }
    }
  }
}
