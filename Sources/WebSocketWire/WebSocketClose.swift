/// Why a WebSocket ends: the code and the reason of a close frame (RFC 6455 sections 5.5.1 and 7.4).

/// A close code (RFC 6455 section 7.4 and the IANA registry).
package struct WebSocketCloseCode: RawRepresentable, Sendable, Hashable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let normal = Self(rawValue: 1000)
  package static let goingAway = Self(rawValue: 1001)
  package static let protocolError = Self(rawValue: 1002)
  package static let unsupportedKind = Self(rawValue: 1003)
  /// Stands for "the close frame had no code". Never sent.
  package static let noStatus = Self(rawValue: 1005)
  /// Stands for "the transport ended without a close frame". Never sent.
  package static let abnormal = Self(rawValue: 1006)
  package static let invalidPayload = Self(rawValue: 1007)
  package static let policyViolation = Self(rawValue: 1008)
  package static let messageTooBig = Self(rawValue: 1009)
  package static let internalError = Self(rawValue: 1011)
  package static let serviceRestart = Self(rawValue: 1012)
  package static let tryAgainLater = Self(rawValue: 1013)

  /// Whether the code may stand in a close frame: those that are registered, and 3000 to 4999.
  package var maySend: Bool {
    switch rawValue {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }
}

/// The content of a close frame.
package struct WebSocketClose: Sendable, Equatable {
  package let code: WebSocketCloseCode
  /// UTF-8, at most `reasonBytesMax` bytes.
  package let reason: String

  /// What is left of a control frame's 125 bytes behind the code.
  package static let reasonBytesMax = 123

  /// A reason that is too long is cut at a character.
  package init(_ code: WebSocketCloseCode, _ reason: String = "") {
    self.code = code
    var reason = reason
    while reason.utf8.count > Self.reasonBytesMax { reason.removeLast() }
    self.reason = reason
  }

  /// Reads the payload of a close frame. An empty one is `.noStatus`.
  package init(payload: [UInt8]) throws(WebSocketFault) {
    guard !payload.isEmpty else {
      self.init(.noStatus)
      return
    }
    guard payload.count >= 2 else { throw .badClosePayload }
    let code = WebSocketCloseCode(rawValue: UInt16(payload[0]) << 8 | UInt16(payload[1]))
    guard code.maySend else { throw .badClosePayload }
    var validator = UTF8Validator()
    guard validator.accept(payload[2...]), validator.isComplete else { throw .invalidUTF8 }
    self.init(code, String(decoding: payload[2...], as: UTF8.self))
  }

  /// The payload of the frame that says this. Codes that may not be sent give an empty payload.
  package var payload: [UInt8] {
    guard code.maySend else { return [] }
    return [UInt8(code.rawValue >> 8), UInt8(code.rawValue & 0xff)] + Array(reason.utf8)
  }
}
