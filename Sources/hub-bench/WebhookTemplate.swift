/// A signed Telegram webhook as the bytes of an HTTP request, with places for the numbers that differ.
///
/// Every place has a fixed width, so a request is a copy of the template with digits written over it:
/// the load generator must cost little next to what it measures.
struct WebhookTemplate: Sendable {
  /// What tells one message from another.
  struct Message: Sendable {
    /// Ten digits each; see `smallestID`.
    var chat: Int
    var id: Int
    /// Seconds since 1970.
    var date: Int
    /// On the monotonic clock; written in the text.
    var sentAtNanoseconds: UInt64
    /// Written in the text.
    var number: Int
  }

  /// Ids have ten digits, because JSON knows no leading zeros.
  static let smallestID = 1_000_000_000
  /// What stands before the time and the number in the message's text.
  static let timeMark = Array("sent at ".utf8)
  static let numberMark = Array(" number ".utf8)
  static let timeDigits = 20
  static let numberDigits = 10

  private enum Part {
    case text(String)
    case chat, id, date, time, number
  }

  private var bytes: [UInt8] = []
  private var chats: [Int] = []
  private var ids: [Int] = []
  private var dates: [Int] = []
  private var timeOffset = 0
  private var numberOffset = 0

  init(account: HubProcess.Account, host: String) {
    let body: [Part] = [
      .text("{\"update_id\":"), .id, .text(",\"message\":{\"message_id\":"), .id,
      .text(",\"from\":{\"id\":"), .chat,
      .text(",\"is_bot\":false,\"first_name\":\"Ada\",\"last_name\":\"Lovelace\",\"language_code\":\"en\"}"),
      .text(",\"chat\":{\"id\":"), .chat,
      .text(",\"first_name\":\"Ada\",\"last_name\":\"Lovelace\",\"type\":\"private\"},\"date\":"), .date,
      .text(",\"text\":\"sent at "), .time, .text(" number "), .number, .text("\"}}"),
    ]
    let bodyBytes = body.reduce(0) { $0 + Self.width($1) }
    let head =
      "POST /webhooks/telegram/\(account.key) HTTP/1.1\r\nHost: \(host)\r\n"
      + "Content-Type: application/json\r\nX-Telegram-Bot-Api-Secret-Token: \(account.secret)\r\n"
      + "Content-Length: \(bodyBytes)\r\n\r\n"
    for part in [.text(head)] + body { append(part) }
  }

  /// The request for one message.
  func request(_ message: Message) -> [UInt8] {
    var request = bytes
    for offset in chats { Self.write(UInt64(message.chat), 10, at: offset, in: &request) }
    for offset in ids { Self.write(UInt64(message.id), 10, at: offset, in: &request) }
    for offset in dates { Self.write(UInt64(message.date), 10, at: offset, in: &request) }
    Self.write(message.sentAtNanoseconds, Self.timeDigits, at: timeOffset, in: &request)
    Self.write(UInt64(message.number), Self.numberDigits, at: numberOffset, in: &request)
    return request
  }

  private static func width(_ part: Part) -> Int {
    switch part {
    case .text(let text): text.utf8.count
    case .chat, .id, .date: 10
    case .time: timeDigits
    case .number: numberDigits
    }
  }

  private mutating func append(_ part: Part) {
    switch part {
    case .text(let text):
      bytes.append(contentsOf: text.utf8)
      return
    case .chat: chats.append(bytes.count)
    case .id: ids.append(bytes.count)
    case .date: dates.append(bytes.count)
    case .time: timeOffset = bytes.count
    case .number: numberOffset = bytes.count
    }
    bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: Self.width(part)))
  }

  private static func write(_ value: UInt64, _ width: Int, at offset: Int, in bytes: inout [UInt8]) {
    var rest = value
    for index in stride(from: offset + width - 1, through: offset, by: -1) {
      bytes[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
  }

  /// The time and the number of a message whose text stands somewhere in `bytes`.
  static func marks(in bytes: [UInt8]) -> (sentAtNanoseconds: UInt64, number: Int)? {
    guard let start = find(timeMark, in: bytes) else { return nil }
    let time = start + timeMark.count
    let number = time + timeDigits + numberMark.count
    guard let sentAt = digits(bytes, time, timeDigits), let value = digits(bytes, number, numberDigits) else {
      return nil
    }
    return (sentAt, Int(value))
  }

  private static func digits(_ bytes: [UInt8], _ start: Int, _ count: Int) -> UInt64? {
    guard start + count <= bytes.count else { return nil }
    var value: UInt64 = 0
    for byte in bytes[start..<start + count] {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
      value = value &* 10 &+ UInt64(byte - UInt8(ascii: "0"))
    }
    return value
  }

  private static func find(_ mark: [UInt8], in bytes: [UInt8]) -> Int? {
    guard let first = mark.first, bytes.count >= mark.count else { return nil }
    var index = 0
    while index <= bytes.count - mark.count {
      if bytes[index] == first && bytes[index..<index + mark.count].elementsEqual(mark) { return index }
      index += 1
    }
    return nil
  }
}
