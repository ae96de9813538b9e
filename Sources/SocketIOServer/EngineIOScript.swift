import HTTPWire
import JSON

/// Polling by script tags (JSONP), for browsers of revision 3 that know nothing better: the answer to a poll
/// is a script, and what is posted is a form.
enum EngineIOScript {
  /// A script that hands the payload to the page's callback of this number.
  /// - Parameter index: from the query; what is no digit is left out.
  static func script(payload: [UInt8], index: String) -> [UInt8] {
    let digits = index.utf8.filter { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.prefix(16)
    var script = Array("___eio[".utf8) + digits + Array("](".utf8)
    var text: [UInt8] = []
    JSONText.append(String(decoding: payload, as: UTF8.self), to: &text)
    // These end a line in JavaScript before 2019, and not in JSON.
    let safe = String(decoding: text, as: UTF8.self)
      .split(separator: "\u{2028}", omittingEmptySubsequences: false).joined(separator: "\\u2028")
      .split(separator: "\u{2029}", omittingEmptySubsequences: false).joined(separator: "\\u2029")
    script.append(contentsOf: safe.utf8)
    script.append(contentsOf: ");".utf8)
    return script
  }

  /// The payload that a form carries in its field `d`, where line breaks are written as `\n` and a written
  /// `\n` as `\\n`. Empty when there is none.
  static func payload(ofForm body: [UInt8]) -> [UInt8] {
    guard let value = (try? URLQuery(bytes: body))?["d"] else { return [] }
    let text = Array(value.utf8)
    var payload: [UInt8] = []
    payload.reserveCapacity(text.count)
    var index = 0
    let slash = UInt8(ascii: "\\")
    let letter = UInt8(ascii: "n")
    while index < text.count {
      if text[index] == slash, index + 2 < text.count, text[index + 1] == slash, text[index + 2] == letter {
        payload += [slash, letter]
        index += 3
      } else if text[index] == slash, index + 1 < text.count, text[index + 1] == letter {
        payload.append(UInt8(ascii: "\n"))
        index += 2
      } else {
        payload.append(text[index])
        index += 1
      }
    }
    return payload
  }
}
