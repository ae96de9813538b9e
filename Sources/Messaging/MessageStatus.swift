/// How far an outbound message got. Raw values are stored and shown to clients.
package enum MessageStatus: String, Sendable, Hashable, CaseIterable {
  case queued, sent, delivered, read, failed

  /// The status after news of another one. It only climbs: queued, sent, delivered, read. `failed`
  /// may follow queued and sent, and gives way to delivered and read, which prove it wrong. The same
  /// set of news in any order ends the same.
  package func advanced(by news: MessageStatus) -> MessageStatus {
    news.rank > rank ? news : self
  }

  private var rank: Int {
    switch self {
    case .queued: 0
    case .sent: 1
    case .failed: 2
    case .delivered: 3
    case .read: 4
    }
  }
}
