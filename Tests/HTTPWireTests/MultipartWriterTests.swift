import HTTPWire
import Testing

@Suite("Multipart forms") struct MultipartWriterTests {
  @Test("writes fields and files as RFC 7578 has them")
  func form() {
    var form = MultipartWriter(random: (1, 0xabc))
    form.add("chat_id", "42")
    form.add("photo", file: [0, 1, 13, 10], fileName: "a \"b\"\r\nü.png", type: "image/png")
    let boundary = "hub-00000000000000010000000000000abc"
    #expect(form.contentType == "multipart/form-data; boundary=\(boundary)")
    let expected =
      "--\(boundary)\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n42\r\n"
      + "--\(boundary)\r\nContent-Disposition: form-data; name=\"photo\"; "
      + "filename=\"a %22b%22%0D%0Aü.png\"\r\nContent-Type: image/png\r\n\r\n"
    #expect(form.finish() == Array(expected.utf8) + [0, 1, 13, 10] + Array("\r\n--\(boundary)--\r\n".utf8))
  }

  @Test("a media type cannot end its line")
  func injection() {
    var form = MultipartWriter(random: (1, 2))
    form.add("f", file: [], fileName: "f", type: "a/b\r\nX: y")
    #expect(String(decoding: form.finish(), as: UTF8.self).contains("Content-Type: a/bX: y\r\n\r\n"))
  }
}
