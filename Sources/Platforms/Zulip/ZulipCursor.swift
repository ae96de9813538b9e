import JSON

/// Where a poll of an event queue stands.
struct ZulipCursor {
  /// A message's conversation: most events name the message alone.
  struct Place: Equatable {
    let message: Int64
    let conversation: String
    let isPair: Bool
  }

  private static let placesMax = 200

  var user: String?
  /// nil: a queue has to be registered.
  var queue: String?
  var lastEvent: Int64 = -1
  /// The newest message that was read.
  var message: Int64?
  /// The queue was lost: messages have to be listed from `message` on.
  var isBehind = false
  /// Messages before this one may be news; `.max`: those before the newest. nil: all of them were read.
  var back: Int64?
  /// Seconds since 1970 from which on messages are news.
  var begin: Int64?
  private(set) var places: [Place] = []

  init(_ json: JSONValue?) {
    user = json?["user"]?.string
    queue = json?["queue"]?.string
    lastEvent = json?["last"]?.integer ?? -1
    message = json?["message"]?.integer
    isBehind = json?["behind"] == true
    back = json?["back"]?.integer
    begin = json?["begin"]?.integer
    places = (json?["places"]?.array ?? []).compactMap { place in
      guard let message = place[0]?.integer, let id = place[1]?.string, let isPair = place[2]?.bool else {
        return nil
      }
      return Place(message: message, conversation: id, isPair: isPair)
    }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = ["last": .integer(lastEvent), "behind": .bool(isBehind)]
    members["user"] = user.map { .string($0) }
    members["queue"] = queue.map { .string($0) }
    members["message"] = message.map { .integer($0) }
    members["back"] = back.map { .integer($0) }
    members["begin"] = begin.map { .integer($0) }
    members["places"] = .array(
      places.map { [.integer($0.message), .string($0.conversation), .bool($0.isPair)] })
    return .object(members)
  }

  mutating func saw(_ id: Int64) { message = max(message ?? id, id) }

  mutating func remember(_ place: Place) {
    places.removeAll { $0.message == place.message }
    places.append(place)
    places.removeFirst(max(0, places.count - Self.placesMax))
  }

  func place(_ message: Int64) -> Place? { places.last { $0.message == message } }
}
