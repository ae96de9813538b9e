import JSON

/// JSON documents.
enum JSONFuzz {
  static func document(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    guard let value = try? JSONValue(parsing: input) else { return }
    try expect(String(validating: input, as: UTF8.self) != nil, "taken, and no UTF-8")
    try expect(depth(value) <= 512, "nested \(depth(value)) deep")
    let written = value.encoded()
    try expect(written.count <= 8 * input.count + 32, "\(written.count) bytes from \(input.count)")
    guard let again = try? JSONValue(parsing: written) else {
      throw FuzzFinding("written, and refused: \(String(decoding: written, as: UTF8.self))")
    }
    try expect(isSame(again, value), "\(again) instead of \(value)")
    try expect((try? JSONValue(parsing: again.encoded())) == again, "\(again) reads otherwise")
  }

  /// The same document. A Double without a fraction may come back as the integer that it is: large ones
  /// are written with an exponent, and such a text may stand for either.
  private static func isSame(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.array(let left), .array(let right)):
      left.count == right.count && zip(left, right).allSatisfy { isSame($0, $1) }
    case (.object(let left), .object(let right)):
      left.count == right.count
        && left.allSatisfy { name, value in right[name].map { isSame(value, $0) } ?? false }
    case (.integer, .number), (.unsigned, .number): left.double == right.double
    default: left == right
    }
  }

  private static func depth(_ value: JSONValue) -> Int {
    switch value {
    case .array(let elements): 1 + (elements.map(depth).max() ?? 0)
    case .object(let members): 1 + (members.values.map(depth).max() ?? 0)
    case .null, .bool, .integer, .unsigned, .number, .string: 0
    }
  }
}
