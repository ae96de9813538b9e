package import Bytes

/// A message's place in its conversation: the platform's time, then its own order, then arrival.
package struct MessagePosition: Sendable, Hashable, Comparable {
  package let sentAt: Timestamp
  package let order: Int64
  /// The hub's id, which rises with arrival.
  package let id: UUIDv7

  package init(sentAt: Timestamp, order: Int64, id: UUIDv7) {
    self.sentAt = sentAt
    self.order = order
    self.id = id
  }

  package static func < (left: MessagePosition, right: MessagePosition) -> Bool {
    (left.sentAt.microseconds, left.order, left.id) < (right.sentAt.microseconds, right.order, right.id)
  }
}
