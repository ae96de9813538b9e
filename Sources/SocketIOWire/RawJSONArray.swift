/// Cuts the text of a JSON array into the texts of its elements, without reading them.
///
/// The arguments of an event are handed on as bytes, and each receiver reads those it wants. Only
/// strings, brackets and commas are looked at, so the text must be known to be JSON before; for text
/// that is not, the answer is nil or pieces that are not JSON either, never a trap.
package enum RawJSONArray {
  /// The elements in order, without the white space around them. nil: not an array.
  package static func elements(of text: [UInt8]) -> [[UInt8]]? {
    let trimmed = trim(text[...])
    guard trimmed.count >= 2, trimmed.first == UInt8(ascii: "["), trimmed.last == UInt8(ascii: "]") else {
      return nil
    }
    let inside = trimmed.dropFirst().dropLast()
    guard !trim(inside).isEmpty else { return [] }
    var elements: [[UInt8]] = []
    var start = inside.startIndex
    var depth = 0
    var isInString = false
    var index = inside.startIndex
    while index < inside.endIndex {
      switch (inside[index], isInString) {
      case (UInt8(ascii: "\\"), true): index += 1
      case (UInt8(ascii: "\""), _): isInString.toggle()
      case (UInt8(ascii: "["), false), (UInt8(ascii: "{"), false): depth += 1
      case (UInt8(ascii: "]"), false), (UInt8(ascii: "}"), false):
        depth -= 1
        guard depth >= 0 else { return nil }
      case (UInt8(ascii: ","), false) where depth == 0:
        guard append(inside[start..<index], to: &elements) else { return nil }
        start = index + 1
      default: break
      }
      index += 1
    }
    guard depth == 0, !isInString, append(inside[start...], to: &elements) else { return nil }
    return elements
  }

  private static func append(_ piece: ArraySlice<UInt8>, to elements: inout [[UInt8]]) -> Bool {
    let element = trim(piece)
    guard !element.isEmpty else { return false }
    elements.append(Array(element))
    return true
  }

  private static func trim(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return text
  }
}
