import MIME

/// Form data, and mail.
enum MIMEFuzz {
  private static let boundary = "b"
  private static let contentType = "multipart/form-data; boundary=b"

  /// The input is a body; behind a good part, it is the rest of a body; and inside a part, it is a file.
  static func form(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    let form = try? MultipartForm(input, contentType: contentType)
    if let form {
      try expect(form.parts.count <= MultipartForm.partsMax, "\(form.parts.count) parts")
      try expect(form.parts.reduce(0) { $0 + $1.content.count } <= input.count, "more than came")
      for part in form.parts {
        try expect(!part.name.isEmpty, "a part without a name")
        _ = part.text()
      }
    }
    let first = Array("--b\r\nContent-Disposition: form-data; name=\"first\"\r\n\r\nvalue\r\n".utf8)
    let behind = try? MultipartForm(first + input, contentType: contentType)
    try expect(form == nil || behind != nil || form?.parts.count == MultipartForm.partsMax, "not joined")
    if let form, let behind {
      let expected = [Array("value".utf8)] + form.parts.map { Array($0.content) }
      try expect(behind.parts.map { Array($0.content) } == expected, "joined as \(behind.parts.count) parts")
    }
    try expectBinarySafe(input)
  }

  /// Whatever holds no boundary comes out of a part as it went in.
  private static func expectBinarySafe(_ content: [UInt8]) throws(FuzzFinding) {
    let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n"
    let body = Array(head.utf8) + content + Array("\r\n--b--\r\n".utf8)
    let delimiter = Array("\r\n--b".utf8)
    // The line end of the head may begin a boundary too.
    let searched = Array("\r\n".utf8) + content
    let holdsBoundary = searched.indices.contains { searched[$0...].starts(with: delimiter) }
    guard !holdsBoundary else { return }
    guard let form = try? MultipartForm(body, contentType: contentType) else {
      throw FuzzFinding("a file made the form unreadable")
    }
    try expect(form.parts.map { Array($0.content) } == [content], "a file came out as \(form.parts)")
  }

  /// A mail is always read, and holds no more than came.
  static func mail(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    let mail = MIMEEntity(parsing: input)
    var parts = 0
    var bytes = 0
    try visit(mail, depth: 0) { (part) throws(FuzzFinding) in
      parts += 1
      guard part.isLeaf else { return }
      bytes += part.rawBody.count
      try expect(part.bytes.count <= part.rawBody.count, "more bytes than came in \(part.section)")
      let again = mail[part.section]
      try expect(again?.rawBody == part.rawBody, "section \(part.section) is another part")
      _ = (part.text, part.filename, part.contentID)
    }
    try expect(parts <= MIMEEntity.partsMax + 1, "\(parts) parts")
    try expect(bytes <= input.count, "\(bytes) bytes of leaves")
    for field in mail.headers.fields {
      _ = MailDate.parse(field.value)
      try expect(MailAddress.list(field.value).count <= MailAddress.countMax, "too many addresses")
    }
  }

  private static func visit(
    _ part: MIMEEntity, depth: Int, _ body: (MIMEEntity) throws(FuzzFinding) -> Void
  ) throws(FuzzFinding) {
    try expect(depth <= MIMEEntity.depthMax, "a part \(depth) deep")
    try body(part)
    for child in part.children { try visit(child, depth: depth + 1, body) }
  }
}
