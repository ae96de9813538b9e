import HTTPWire
import Testing

@Suite("Content-Disposition")
struct ContentDispositionTests {
  @Test(
    "a name is harmless in the field and whole for those who read UTF-8",
    arguments: [
      ("a.png", "attachment; filename=\"a.png\""),
      ("Füße.png", "attachment; filename=\"F__e.png\"; filename*=UTF-8''F%C3%BC%C3%9Fe.png"),
      ("a\"b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
      ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
      ("../../etc/passwd", "attachment; filename=\"passwd\""),
      ("C:\\temp\\a.txt", "attachment; filename=\"a.txt\""),
      ("a\r\nSet-Cookie: x", "attachment; filename=\"aSet-Cookie: x\""),
      ("photo\u{202e}gnp.exe", "attachment; filename=\"photognp.exe\""),
      (".htaccess", "attachment; filename=\"htaccess\""), ("", "attachment"), ("///", "attachment"),
    ])
  func names(name: String, expected: String) {
    #expect(ContentDisposition.field(.attachment, filename: name) == expected)
  }

  @Test("without a name there is only the kind")
  func kinds() {
    #expect(ContentDisposition.field(.inline, filename: nil) == "inline")
    #expect(ContentDisposition.field(.inline, filename: "a.pdf") == "inline; filename=\"a.pdf\"")
  }
}
