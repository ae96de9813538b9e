/// How far an outbound message got. Raw values are stored and shown to clients.
package enum MessageStatus: String, Sendable, Hashable, CaseIterable {
  /// `unknown`: the platform was asked and did not answer, so the message may be there.
  case queued, unknown, sent, delivered, read, failed

  /// The status after news of another one. It only climbs: queued, unknown, sent, delivered, read.
  /// `failed` may follow the first three, and gives way to delivered and read, which prove it wrong. The same
  /// set of news in any order ends the same.
  package func advanced(by news: MessageStatus) -> MessageStatus {
    news.rank > rank ? news : self
  }

  private var rank: Int {
    switch self {
    case .queued: 0
    case .unknown: 1
    case .sent: 2
    case .failed: 3
    case .delivered: 4
    case .read: 5
    }
  }
}
