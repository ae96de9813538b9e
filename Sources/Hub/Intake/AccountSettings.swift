package import JSON

/// What the users of an account decided about it.
package struct AccountSettings: Sendable, Equatable {
  package enum Polling: String, Sendable, CaseIterable {
    /// As the platform is best read with the credentials that are there.
    case auto
    case on, off
  }

  /// When the platform is told that a message was read.
  package enum Receipts: String, Sendable, CaseIterable {
    case never
    case onReply = "on_reply"
    case onOpen = "on_open"
    /// Only when a client asks for it.
    case byAPI = "by_api"
  }

  package enum ReceiptOccasion: Sendable { case reply, open, request }

  package var polling = Polling.auto
  package var receipts = Receipts.byAPI
  package var passesTyping = false
  /// Days before the connection whose messages are imported.
  package var historyDays = 0

  package static let historyDaysMax = 3_650

  package init() {}

  /// Reads what `json` writes; what is missing or strange is as it is by default.
  package init(json: JSONValue) {
    polling = json["polling"]?.string.flatMap { Polling(rawValue: $0) } ?? .auto
    receipts = json["readReceipts"]?.string.flatMap { Receipts(rawValue: $0) } ?? .byAPI
    passesTyping = json["typing"]?.bool ?? false
    historyDays = Int(json["historyDays"]?.integer ?? 0)
  }

  package var json: JSONValue {
    [
      "polling": .string(polling.rawValue), "readReceipts": .string(receipts.rawValue),
      "typing": .bool(passesTyping), "historyDays": .integer(Int64(historyDays)),
    ]
  }

  package func sendsReceipts(on occasion: ReceiptOccasion) -> Bool {
    switch occasion {
    case .request: receipts != .never
    case .reply: receipts == .onReply
    case .open: receipts == .onOpen
    }
  }

  /// The settings with those of a request put over them.
  func changed(by json: JSONValue) throws(Problem) -> AccountSettings {
    guard let members = json.object else {
      throw .invalid("'settings' has to be an object", field: "settings")
    }
    let fields = RequestFields(members)
    try fields.allow(only: ["polling", "readReceipts", "typing", "historyDays"])
    var next = self
    if let word = try fields.choice("polling", of: Polling.allCases.map(\.rawValue)) {
      next.polling = Polling(rawValue: word) ?? polling
    }
    if let word = try fields.choice("readReceipts", of: Receipts.allCases.map(\.rawValue)) {
      next.receipts = Receipts(rawValue: word) ?? receipts
    }
    if let flag = try fields.flag("typing") { next.passesTyping = flag }
    if fields.has("historyDays") {
      guard let days = fields.value("historyDays").integer, (0...Int64(Self.historyDaysMax)).contains(days)
      else {
        throw .invalid(
          "'historyDays' is a whole number from 0 to \(Self.historyDaysMax)", field: "historyDays")
      }
      next.historyDays = Int(days)
    }
    return next
  }
}
