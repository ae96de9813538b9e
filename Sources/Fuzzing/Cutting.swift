/// How an input is cut before it is fed to a parser of streams.
package enum Cutting: Sendable {
  /// Byte by byte, and twice at places that hang on the input alone, so that a replay is the same.
  case few
  /// Byte by byte, and in two at every place.
  case everywhere

  /// The pieces of each way, the whole input in one piece left out.
  package func ways(_ bytes: [UInt8]) -> [[[UInt8]]] {
    let single = bytes.map { [$0] }
    switch self {
    case .few:
      var places = Places(of: bytes)
      return [single] + (0..<2).map { _ in places.pieces(bytes, atMost: 4) }
    case .everywhere:
      return [single] + bytes.indices.dropFirst().map { [Array(bytes[..<$0]), Array(bytes[$0...])] }
    }
  }

  /// What `read` makes of the whole input.
  /// - Throws: when it makes something else of the same bytes in pieces.
  func same<Outcome: Equatable>(
    _ bytes: [UInt8], _ read: ([[UInt8]]) -> Outcome
  ) throws(FuzzFinding) -> Outcome {
    let whole = read([bytes])
    for pieces in ways(bytes) {
      let outcome = read(pieces)
      try expect(outcome == whole, "cut to \(pieces.map(\.count)): \(outcome) instead of \(whole)")
    }
    return whole
  }
}

/// Numbers that look random and follow from an input.
struct Places {
  private var state: UInt64 = 0xcbf2_9ce4_8422_2325

  init(of bytes: [UInt8]) {
    for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
  }

  /// 0 up to, not including, `bound`, which is at least 1.
  mutating func next(below bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % bound
  }

  /// All of `bytes` in order, none of the pieces empty.
  mutating func pieces(_ bytes: [UInt8], atMost count: Int) -> [[UInt8]] {
    guard bytes.count > 1 else { return [bytes] }
    let cuts = Set((1..<count).map { _ in next(below: bytes.count) }).subtracting([0]).sorted()
    return zip([0] + cuts, cuts + [bytes.count]).map { Array(bytes[$0..<$1]) }
  }
}
