/// A message or a part of one: its header, and either its bytes or the parts inside (RFC 2045, 2046).
///
/// Whatever the bytes are, there is an entity: reading is bounded in depth, number and time, and what is
/// malformed is read as well as it can be.
package struct MIMEEntity: Sendable {
  package enum Content: Sendable {
    /// See `bytes` for what it holds.
    case leaf
    case multipart([MIMEEntity])
    /// A whole message inside: `message/rfc822`.
    case message([MIMEEntity])
  }

  /// How deep parts are looked into; what is deeper stays closed.
  package static let depthMax = 16
  /// Parts of one message, at all depths together; the rest is left out.
  package static let partsMax = 500

  package let headers: MailHeaders
  package let contentType: ParameterizedValue
  package let content: Content
  /// Everything behind the header, as it came.
  package let rawBody: ArraySlice<UInt8>
  /// Where it stands in its message: `1`, `2.1`; empty: the message itself. Part 1 of a part that holds a
  /// message is that message.
  package let section: String

  /// Reads a whole message.
  package init(parsing bytes: [UInt8]) {
    var budget = Self.partsMax
    self.init(bytes[...], section: "", isDigest: false, depth: 0, budget: &budget)
  }

  private init(
    _ bytes: ArraySlice<UInt8>, section: String, isDigest: Bool, depth: Int, budget: inout Int
  ) {
    var body = bytes
    headers = MailHeaders(parsing: bytes, body: &body)
    rawBody = body
    let fallback = isDigest ? "message/rfc822" : "text/plain"
    contentType = ParameterizedValue(headers["Content-Type"] ?? fallback)
    self.section = section
    budget -= 1
    let isOpen = depth < Self.depthMax && budget > 0
    if isOpen, contentType.value.hasPrefix("multipart/"), let boundary = contentType["boundary"],
      !boundary.isEmpty
    {
      let isDigest = contentType.value == "multipart/digest"
      let parts = MultipartBody(body, boundary: boundary, partsMax: budget).parts
      content = .multipart(
        Self.entities(parts, in: section, isDigest: isDigest, depth: depth + 1, budget: &budget))
    } else if isOpen, Self.holdsMessage(contentType, headers) {
      content = .message(
        Self.entities(
          [body], in: section, isDigest: false, depth: depth + 1, budget: &budget))
    } else {
      content = .leaf
    }
  }

  private static func entities(
    _ parts: [ArraySlice<UInt8>], in section: String, isDigest: Bool, depth: Int, budget: inout Int
  ) -> [MIMEEntity] {
    var entities: [MIMEEntity] = []
    for (index, part) in parts.enumerated() where budget > 0 {
      let place = section.isEmpty ? "\(index + 1)" : "\(section).\(index + 1)"
      entities.append(
        MIMEEntity(part, section: place, isDigest: isDigest, depth: depth, budget: &budget))
    }
    return entities
  }

  /// A message that was encoded stays closed: RFC 2046 forbids it, and it may be anything.
  private static func holdsMessage(_ type: ParameterizedValue, _ headers: MailHeaders) -> Bool {
    (type.value == "message/rfc822" || type.value == "message/global")
      && TransferEncoding(headers["Content-Transfer-Encoding"]) == .identity
  }

  // MARK: What it says

  package var children: [MIMEEntity] {
    switch content {
    case .leaf: []
    case .multipart(let parts), .message(let parts): parts
    }
  }

  package var isLeaf: Bool { if case .leaf = content { true } else { false } }

  /// The decoded bytes of a leaf; empty for what has parts.
  package var bytes: [UInt8] {
    guard isLeaf else { return [] }
    return TransferEncoding(headers["Content-Transfer-Encoding"]).decode(rawBody)
  }

  /// The decoded text of a leaf, with `\n` as line ends.
  package var text: String {
    Self.unixLines(Charset.decode(bytes, contentType["charset"]))
  }

  /// The text with `\n` for every line end.
  package static func unixLines(_ text: String) -> String {
    guard text.utf8.contains(ASCII.carriageReturn) else { return text }
    var output: [UInt8] = []
    output.reserveCapacity(text.utf8.count)
    var wasReturn = false
    for byte in text.utf8 {
      if byte == ASCII.lineFeed && wasReturn {
        wasReturn = false
        continue
      }
      wasReturn = byte == ASCII.carriageReturn
      output.append(wasReturn ? ASCII.lineFeed : byte)
    }
    return String(decoding: output, as: UTF8.self)
  }

  package var disposition: ParameterizedValue? {
    headers["Content-Disposition"].map { ParameterizedValue($0) }
  }

  /// The file's name, when it has one.
  package var filename: String? {
    let name = disposition?["filename"] ?? contentType["name"]
    return name.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Without its angle brackets.
  package var contentID: String? {
    headers["Content-ID"].flatMap { MessageID.list($0).first }
  }

  /// The entity at a place; nil: there is none.
  package subscript(section: String) -> MIMEEntity? {
    if section == self.section { return self }
    for child in children where section == child.section || section.hasPrefix(child.section + ".") {
      return child[section]
    }
    return nil
  }
}
