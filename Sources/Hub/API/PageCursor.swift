package import Bytes
import JSON

/// Where the next page of a list begins. Clients get it as an opaque text and hand it back; what comes
/// back is checked in every part.
///
/// It names a position, not a number of rows, so a list that changes meanwhile shows nothing twice.
package enum PageCursor: Sendable, Equatable {
  package enum Direction: String, Sendable { case before, after }

  /// Behind this conversation, in the order of last activity.
  case conversation(at: Timestamp, id: UUIDv7)
  /// Older or newer than this message.
  case message(Direction, id: UUIDv7)
  /// Behind this delivery, newest first.
  case delivery(at: Timestamp, id: UUIDv7)

  private static let textBytesMax = 256

  package var text: String {
    let fields: JSONValue =
      switch self {
      case .conversation(let at, let id):
        ["k": "c", "t": .integer(at.microseconds), "i": .string("\(id)")]
      case .message(let direction, let id):
        ["k": "m", "d": .string(direction.rawValue), "i": .string("\(id)")]
      case .delivery(let at, let id):
        ["k": "d", "t": .integer(at.microseconds), "i": .string("\(id)")]
      }
    return Base64.encode(fields.encoded(), .url)
  }

  /// nil for anything that this hub did not write.
  package init?(text: some StringProtocol) {
    guard text.utf8.count <= Self.textBytesMax, let bytes = Base64.decode(text, .url),
      let fields = try? JSONValue(parsing: bytes), fields.object?.count == 3,
      let id = fields["i"]?.string.flatMap({ UUIDv7($0) })
    else { return nil }
    let at = fields["t"]?.integer.map { Timestamp(microseconds: $0) }
    // Beyond these the store has no times, so the hub wrote none.
    if let at, at != at.clamped { return nil }
    switch (fields["k"]?.string, at, fields["d"]?.string.flatMap(Direction.init(rawValue:))) {
    case ("c", let at?, nil): self = .conversation(at: at, id: id)
    case ("m", nil, let direction?): self = .message(direction, id: id)
    case ("d", let at?, nil): self = .delivery(at: at, id: id)
    default: return nil
    }
  }
}
