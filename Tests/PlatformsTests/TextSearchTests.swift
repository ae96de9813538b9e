import Testing

@testable import Platforms

@Suite("Searching texts")
struct TextSearchTests {
  @Test(
    "finds the first place of some bytes",
    arguments: [
      ("abcabc", "bc", 1), ("aab", "ab", 1), ("aaab", "aab", 1), ("abc", "abc", 0), ("ü😀x", "😀", 2),
      ("abc", "abcd", nil), ("abc", "x", nil), ("", "a", nil), ("abc", "", nil),
    ] as [(String, String, Int?)])
  func places(text: String, part: String, place: Int?) {
    #expect(Array(text.utf8).firstPlace(of: part.utf8).map(\.lowerBound) == place)
    #expect(text.holds(part) == (place != nil))
    let found = text.utf8.firstPlace(of: part.utf8)
    #expect(found.map { text[$0] } == (place == nil ? nil : part[...]))
  }

  @Test("replaces each occurrence, from the left")
  func replacing() {
    #expect("<at>A</at> and <at>B</at>".replacing(each: "<at>", by: "@") == "@A</at> and @B</at>")
    #expect("aaa".replacing(each: "aa", by: "b") == "ba")
    #expect("abc".replacing(each: "x", by: "y") == "abc")
    #expect("".replacing(each: "x", by: "y").isEmpty)
    #expect("xx".replacing(each: "x", by: "").isEmpty)
  }

  @Test("white space becomes single spaces, as Unicode has it")
  func singleSpaced() {
    #expect(" \t a\r\n\u{a0}b \u{2003}\u{3000} ü\n".singleSpaced == "a b ü")
    #expect("\n ".singleSpaced.isEmpty)
    for value in UInt32(0)...0x3000 {
      guard let scalar = Unicode.Scalar(value) else { continue }
      #expect(scalar.isSpace == scalar.properties.isWhitespace)
    }
  }

  @Test(
    "names of events become words",
    arguments: [
      ("pollVote", "poll vote"), ("poll_vote", "poll vote"), ("m.room.name", "m room name"),
      ("APP_HOME", "app home"), ("--a  b:", "a b"), ("HTTPError", "httperror"),
      ("straßeÄndern", "straße ändern"),
      ("", ""), ("_", ""),
    ])
  func words(name: String, words: String) {
    #expect(Update.words(name) == words)
  }
}
