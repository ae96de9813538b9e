/// One extension that a client offers, with its parameters in order (RFC 6455 section 9.1).
package struct ExtensionOffer: Sendable, Equatable {
  package struct Parameter: Sendable, Equatable {
    package let name: String
    /// Without its quotes; nil: there is none.
    package let value: String?
  }

  package let name: String
  package let parameters: [Parameter]

  /// Reads the values of `Sec-WebSocket-Extensions`. nil: they are not of the field's form, for which the
  /// section asks to fail the connection.
  package static func list(of values: [String]) -> [ExtensionOffer]? {
    var offers: [ExtensionOffer] = []
    for value in values {
      var reader = Reader(rest: Array(value.utf8)[...])
      repeat {
        // Empty members of a list are passed over (RFC 9110 section 5.6.1).
        if reader.isAtMemberEnd { continue }
        guard let offer = reader.offer() else { return nil }
        offers.append(offer)
      } while reader.take(UInt8(ascii: ","))
      guard reader.rest.isEmpty else { return nil }
    }
    return offers
  }

  /// What is left of one value.
  private struct Reader {
    var rest: ArraySlice<UInt8>

    var isAtMemberEnd: Bool {
      mutating get {
        skipBlanks()
        return rest.isEmpty || rest.first == UInt8(ascii: ",")
      }
    }

    private mutating func skipBlanks() {
      rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
    }

    mutating func take(_ byte: UInt8) -> Bool {
      skipBlanks()
      guard rest.first == byte else { return false }
      rest.removeFirst()
      return true
    }

    mutating func offer() -> ExtensionOffer? {
      guard let name = token() else { return nil }
      var parameters: [Parameter] = []
      while take(UInt8(ascii: ";")) {
        guard let name = token() else { return nil }
        var value: String?
        if take(UInt8(ascii: "=")) {
          value = take(UInt8(ascii: "\"")) ? quoted() : token()
          if value == nil { return nil }
        }
        parameters.append(Parameter(name: name, value: value))
      }
      return isAtMemberEnd ? ExtensionOffer(name: name, parameters: parameters) : nil
    }

    private mutating func token() -> String? {
      skipBlanks()
      let bytes = rest.prefix(while: Self.isToken)
      rest = rest[bytes.endIndex...]
      return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    /// Behind the first quote. What stands in quotes has to be a token as well.
    private mutating func quoted() -> String? {
      var bytes: [UInt8] = []
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\"") {
          return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
        }
        guard let plain = byte == UInt8(ascii: "\\") ? rest.popFirst() : byte, Self.isToken(plain) else {
          return nil
        }
        bytes.append(plain)
      }
      return nil
    }

    /// RFC 9110 section 5.6.2.
    private static func isToken(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"):
        true
      default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
      }
    }
  }
}
