/// One event of a stream (HTML standard, section 9.2).
package struct ServerSentEvent: Sendable, Equatable {
  /// `message` when the server gave none.
  package var name: String
  package var data: String
  /// The last id that the stream gave, to be sent as Last-Event-ID when it is opened again.
  package var lastID: String

  package init(name: String, data: String, lastID: String) {
    self.name = name
    self.data = data
    self.lastID = lastID
  }
}

/// An event of a stream is larger than it may be.
package struct ServerSentEventTooLarge: Error, Equatable {
  package let limitBytes: Int

  package init(limitBytes: Int) {
    self.limitBytes = limitBytes
  }
}

/// Reads text/event-stream (HTML standard, section 9.2.6). Lines end with LF, CR or both; comments and
/// unknown fields are skipped; an event that the end of the stream cuts off is dropped.
package struct ServerSentEventParser: Sendable {
  private let eventBytesMax: Int
  private var line: [UInt8] = []
  private var data: [UInt8] = []
  private var name = ""
  private var hasData = false
  private var skipsLineFeed = false
  private var isFirstLine = true
  package private(set) var lastID = ""
  /// How long the server asks to wait before the stream is opened again, in milliseconds.
  package private(set) var retryMilliseconds: Int?

  package init(eventBytesMax: Int = 1 << 20) {
    self.eventBytesMax = eventBytesMax
  }

  /// Takes the next bytes of the stream. - Returns: the events that they complete.
  package mutating func read(_ bytes: [UInt8]) throws(ServerSentEventTooLarge) -> [ServerSentEvent] {
    var events: [ServerSentEvent] = []
    for byte in bytes {
      let follows = skipsLineFeed
      skipsLineFeed = false
      switch byte {
      case 0x0a where follows: continue
      case 0x0a, 0x0d:
        skipsLineFeed = byte == 0x0d
        if let event = endLine() { events.append(event) }
      default:
        line.append(byte)
        guard line.count + data.count <= eventBytesMax else { throw .init(limitBytes: eventBytesMax) }
      }
    }
    return events
  }

  private mutating func endLine() -> ServerSentEvent? {
    if isFirstLine, line.starts(with: [0xef, 0xbb, 0xbf]) { line.removeFirst(3) }
    isFirstLine = false
    defer { line.removeAll(keepingCapacity: line.capacity <= 4_096) }
    guard !line.isEmpty else { return endEvent() }
    let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
    var value = line[colon...].dropFirst()
    if value.first == 0x20 { value = value.dropFirst() }
    switch String(decoding: line[..<colon], as: UTF8.self) {
    case "event": name = String(decoding: value, as: UTF8.self)
    case "data":
      if hasData { data.append(0x0a) }
      hasData = true
      data.append(contentsOf: value)
    case "id": if !value.contains(0) { lastID = String(decoding: value, as: UTF8.self) }
    case "retry":
      if value.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) {
        retryMilliseconds = Int(String(decoding: value, as: UTF8.self)) ?? retryMilliseconds
      }
    default: break
    }
    return nil
  }

  private mutating func endEvent() -> ServerSentEvent? {
    defer {
      data = []
      name = ""
      hasData = false
    }
    guard hasData else { return nil }
    return ServerSentEvent(
      name: name.isEmpty ? "message" : name, data: String(decoding: data, as: UTF8.self), lastID: lastID)
  }
}
