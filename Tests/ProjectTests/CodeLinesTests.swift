import Testing

@Suite("What counts as code")
struct CodeLinesTests {
  @Test(
    "comments and string texts are taken out",
    arguments: [
      ("let a = 1 // print(", "let a = 1 "),
      (#"let a = "print(" + b"#, #"let a = "" + b"#),
      (#"let a = "quote \" print(" + b"#, #"let a = "" + b"#),
      ("a /* print( */ b", "a  b"),
      ("/// print(", ""),
    ])
  func stripsOneLine(line: String, code: String) {
    #expect(CodeLines.strip([line]) == [code])
  }

  @Test("block comments and long strings go over lines")
  func stripsManyLines() {
    let lines = ["a /* b", "print(", "c */ d", "let e = \"\"\"", "  try! f", "  \"\"\" + g"]
    #expect(CodeLines.strip(lines) == ["a ", "", " d", "let e = \"\"", "", " + g"])
  }
}
