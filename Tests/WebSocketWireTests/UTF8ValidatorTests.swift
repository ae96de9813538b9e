import Testing

@testable import WebSocketWire

@Suite("UTF8Validator")
struct UTF8ValidatorTests {
  private func isValid(_ parts: [some Collection<UInt8>]) -> Bool {
    var validator = UTF8Validator()
    for part in parts {
      guard validator.accept(part) else { return false }
    }
    return validator.isComplete
  }

  @Test(
    "Valid text is accepted in every cut",
    arguments: [
      "", "plain ASCII, longer than eight bytes", "κόσμε", "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}",
      "\u{10000}\u{10ffff}", "\u{d7ff}\u{e000}\u{fffd}", "a👋b👩‍👩‍👧",
    ])
  func valid(_ text: String) {
    let bytes = Array(text.utf8)
    #expect(isValid([bytes]))
    #expect(isValid(bytes.map { [$0] }))
    for cut in 0...bytes.count { #expect(isValid([bytes[..<cut], bytes[cut...]])) }
  }

  @Test(
    "Invalid bytes are refused, whole and byte by byte",
    arguments: [
      [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80],
      [0xe0, 0x9f, 0xbf],
      [0xe1, 0x80], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xf0, 0x80, 0x80, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xfe], [0xf8, 0x88, 0x80, 0x80, 0x80],
      [0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0xff],
    ] as [[UInt8]])
  func invalid(_ bytes: [UInt8]) {
    #expect(!isValid([bytes]))
    #expect(!isValid(bytes.map { [$0] }))
  }

  @Test("It agrees with the standard library on every two-byte and many three-byte sequences")
  func agreesWithStandardLibrary() {
    for first in UInt8.min...UInt8.max {
      for second in stride(from: UInt8(0x70), through: 0xf8, by: 1) {
        for bytes in [[first, second], [first, second, 0x80], [first, second, 0xbf, 0x80]] {
          let expected = String(validating: bytes, as: UTF8.self) != nil
          if isValid([bytes]) != expected { Issue.record("\(bytes)") }
        }
      }
    }
  }
}
