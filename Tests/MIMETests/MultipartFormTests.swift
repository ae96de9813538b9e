import Testing

@testable import MIME

@Suite("Form data")
struct MultipartFormTests {
  static let type = "multipart/form-data; boundary=xYzZY"

  /// A part of each kind: a field, an empty one, one that looks like a boundary, a file.
  static let body: [UInt8] =
    Array(
      """
      --xYzZY\r
      Content-Disposition: form-data; name="subject"\r
      \r
      Hallo Wörld\r
      --xYzZY\r
      content-disposition: form-data; name="empty"\r
      \r
      \r
      --xYzZY\r
      Content-Disposition: form-data; name="tricky"\r
      \r
      --xYzZ\r
      --xYzZYx\r
      -\r
      --xYzZY\r
      Content-Disposition: form-data; name="file1"; filename="dir/a%22b.bin"; filename*=UTF-8''caf%C3%A9.bin\r
      Content-Type: application/octet-stream; charset=x\r
      \r

      """.utf8) + [0, 13, 10, 45, 45, 255, 10] + Array("\r\n--xYzZY--\r\n".utf8)

  private func text(_ form: MultipartForm, _ name: String) -> String? { form[name]?.text() }

  @Test("is read with names, files and bytes")
  func whole() throws {
    let form = try MultipartForm(Self.body, contentType: Self.type)
    #expect(form.parts.map(\.name) == ["subject", "empty", "tricky", "file1"])
    #expect(text(form, "subject") == "Hallo Wörld")
    #expect(text(form, "empty") == "")
    #expect(text(form, "tricky") == "--xYzZ\r\n--xYzZYx\r\n-")
    let file = try #require(form["file1"])
    #expect(file.filename == "café.bin")
    #expect(file.contentType?.value == "application/octet-stream")
    #expect(Array(file.content) == [0, 13, 10, 45, 45, 255, 10])
    #expect(form["subject"]?.filename == nil)
    #expect(form["missing"] == nil)
  }

  @Test("is refused when it is cut anywhere")
  func cuts() {
    let end = Self.body.count - 2
    for count in 0..<Self.body.count {
      let form = try? MultipartForm(Array(Self.body[..<count]), contentType: Self.type)
      // The line end behind the last boundary may be missing.
      #expect((form != nil) == (count >= end), "\(count)")
    }
  }

  @Test("survives any changed byte")
  func garbage() {
    for index in Self.body.indices {
      for flip in [1, 0x20, 0x80] as [UInt8] {
        var body = Self.body
        body[index] ^= flip
        _ = try? MultipartForm(body, contentType: Self.type)
      }
    }
  }

  private static func fault(_ body: String, _ type: String? = type) -> MultipartForm.Fault? {
    do throws(MultipartForm.Fault) {
      _ = try MultipartForm(Array(body.utf8), contentType: type)
      return nil
    } catch {
      return error
    }
  }

  private static let bare = "Content-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n"
  private static let part = "--xYzZY\r\n" + bare

  @Test("says what is wrong")
  func faults() {
    let end = "--xYzZY--"
    let part = Self.part
    #expect(Self.fault(part + end) == nil)
    #expect(Self.fault(part + end + "\r\n\r\n") == nil)
    #expect(Self.fault(end) == nil)
    #expect(Self.fault(part + end, nil) == .notFormData)
    #expect(Self.fault(part + end, "multipart/mixed; boundary=xYzZY") == .notFormData)
    #expect(Self.fault(part + end, "multipart/form-data") == .notFormData)
    let long = String(repeating: "x", count: 71)
    #expect(Self.fault(part + end, "multipart/form-data; boundary=\(long)") == .notFormData)
    #expect(Self.fault("preamble\r\n" + part + end) == .boundaryMissing)
    #expect(Self.fault(part + end + "\r\nepilogue") == .boundaryMissing)
    #expect(Self.fault(part.replacing("\r\n", with: "\n") + end) == .boundaryMissing)
    #expect(Self.fault("") == .boundaryMissing)
    #expect(Self.fault("--xYzZY\r\n" + end) == .malformedPart(1))
    #expect(Self.fault("--xYzZY\r\n\r\nb\r\n" + end) == .malformedPart(1))
    #expect(
      Self.fault(part + "--xYzZY\r\nContent-Disposition: form-data\r\n\r\nb\r\n" + end) == .malformedPart(2))
    #expect(
      Self.fault("--xYzZY\r\nContent-Disposition: attachment; name=a\r\n\r\nb\r\n" + end) == .malformedPart(1)
    )
    #expect(Self.fault("--xYzZY\r\nA: b\r\nA: b\r\n" + Self.bare + end) == .malformedPart(1))
    #expect(Self.fault("--xYzZY\r\nno field\r\n" + Self.bare + end) == .malformedPart(1))
    let filler = String(repeating: "X: y\r\n", count: 2_000)
    #expect(Self.fault("--xYzZY\r\n" + filler + Self.bare + end) == .headerTooLong(part: 1))
    let wide = "--xYzZY\r\nX: " + String(repeating: "y", count: 9_000) + "\r\n" + Self.bare + end
    #expect(Self.fault(wide) == .headerTooLong(part: 1))
    let many = String(repeating: part, count: MultipartForm.partsMax)
    #expect(Self.fault(many + end) == nil)
    #expect(Self.fault(many + part + end) == .tooManyParts)
  }

  @Test("takes time in proportion to its bytes", .timeLimit(.minutes(5)))
  func time() {
    for piece in ["\r\n--xYzZ", "\r\n--xYzZY", "\r\n", "--xYzZY\r\n", "\r"] {
      let body = Self.part.dropLast(2) + String(repeating: piece, count: 100_000)
      #expect(Self.fault(String(body)) != nil)
    }
  }

  @Test("reads fields in the character set that is said")
  func charsets() throws {
    let head = "--b\r\nContent-Disposition: form-data; name=a\r\n"
    func form(_ type: String) throws -> MultipartForm {
      let bytes = Array((head + type + "\r\n").utf8) + [0xe9, 0xa4] + Array("\r\n--b--".utf8)
      return try MultipartForm(bytes, contentType: "Multipart/Form-Data; Boundary=\"b\"")
    }
    #expect(try form("")["a"]?.text(charset: "iso-8859-15") == "é€")
    #expect(try form("Content-Type: text/plain; charset=iso-8859-15\r\n")["a"]?.text() == "é€")
  }
}
