/// The parts of a multipart body (RFC 2046 section 5.1), as mail has them: lines may end in LF alone, and a
/// missing end is forgiven.
struct MultipartBody {
  private(set) var parts: [ArraySlice<UInt8>] = []
  /// There were more parts than asked for.
  private(set) var isCut = false

  /// Takes time in proportion to the bytes.
  init(_ bytes: ArraySlice<UInt8>, boundary: String, partsMax: Int) {
    let mark = [ASCII.hyphen, ASCII.hyphen] + Array(boundary.utf8)
    var lines = MailLines(bytes)
    var start: Int?
    while !lines.rest.isEmpty {
      let lineStart = lines.rest.startIndex
      guard let line = lines.next() else { break }
      guard line.starts(with: mark), let isLast = Self.ends(line.dropFirst(mark.count)) else { continue }
      if let start { parts.append(bytes[start..<Self.contentEnd(bytes, start, lineStart)]) }
      start = isLast ? nil : lines.rest.startIndex
      if isLast { return }
      if parts.count >= partsMax {
        isCut = true
        return
      }
    }
    if let start { parts.append(bytes[start...]) }
  }

  /// Whether what follows a boundary makes it the last one; nil: it is no boundary.
  private static func ends(_ rest: ArraySlice<UInt8>) -> Bool? {
    if rest.allSatisfy(ASCII.isBlank) { return false }
    guard rest.starts(with: [ASCII.hyphen, ASCII.hyphen]) else { return nil }
    return true
  }

  /// The line end before a boundary belongs to the boundary.
  private static func contentEnd(_ bytes: ArraySlice<UInt8>, _ start: Int, _ lineStart: Int) -> Int {
    var end = lineStart
    if end > start { end -= 1 }
    if end > start, bytes[end - 1] == ASCII.carriageReturn { end -= 1 }
    return end
  }
}
