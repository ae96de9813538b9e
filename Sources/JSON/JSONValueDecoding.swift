import Foundation

/// Reads a document by asking type by type: slow, and exact where `JSONSerialization` is not.
struct JSONValueDecoding: Decodable {
  let value: JSONValue

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    // In the order of how common each is; the first that fits is taken.
    if let text = try? container.decode(String.self) {
      value = .string(text)
    } else if let members = try? container.decode([String: JSONValueDecoding].self) {
      value = .object(members.mapValues(\.value))
    } else if let number = try? container.decode(Int64.self) {
      value = .integer(number)
    } else if container.decodeNil() {
      value = .null
    } else if let flag = try? container.decode(Bool.self) {
      value = .bool(flag)
    } else if let elements = try? container.decode([JSONValueDecoding].self) {
      value = .array(elements.map(\.value))
    } else if let number = try? container.decode(UInt64.self) {
      value = .unsigned(number)
    } else {
      value = .number(try container.decode(Double.self))
    }
  }
}
