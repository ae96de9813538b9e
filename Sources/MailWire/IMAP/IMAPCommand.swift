package import Bytes

/// What a client can ask of a server, once it is let in.
package enum IMAPCommand: Sendable, Equatable {
  package enum FetchItem: Sendable, Equatable {
    case flags
    case internalDate
    case size
    case modSeq
    /// The message as it is, not marked as read: `bytesMax` of it at most.
    case body(bytesMax: Int)
    /// Its header alone, `bytesMax` of it at most.
    case header(bytesMax: Int)
  }

  package enum FlagChange: String, Sendable, Equatable {
    case add = "+FLAGS.SILENT"
    case remove = "-FLAGS.SILENT"
  }

  case noop
  case logout
  case idle
  case list(reference: String, pattern: String)
  /// EXAMINE when `isReadOnly`; with CONDSTORE where that is offered.
  case select(mailbox: String, isReadOnly: Bool)
  case create(mailbox: String)
  case delete(mailbox: String)
  /// Removes what is marked `\Deleted`.
  case expunge
  /// `last: nil` is the highest UID there is. Finds the highest UID too when `first` is beyond it.
  case searchUIDs(first: UInt32, last: UInt32?)
  case fetch(IMAPNumberSet, [FetchItem], changedSince: UInt64?)
  /// The UID of the last message.
  case fetchLastUID
  case store(IMAPNumberSet, FlagChange, flags: [String])
  case append(mailbox: String, flags: [String], date: Timestamp?, message: [UInt8])
}

/// A command as it goes out: each piece but the last ends with a literal's announcement, behind which the
/// server's leave must be waited for.
struct IMAPEncodedCommand: Sendable, Equatable {
  var pieces: [[UInt8]]
}

/// Writes commands (RFC 9051 section 9). What comes from outside goes through `string`, so that it can
/// never be read as another command.
struct IMAPCommandWriter {
  private let capabilities: IMAPCapabilities
  private var pieces: [[UInt8]] = []
  private var piece: [UInt8] = []

  init(tag: String, capabilities: IMAPCapabilities) {
    self.capabilities = capabilities
    piece = Array(tag.utf8)
  }

  static func encode(
    _ command: IMAPCommand, tag: String, capabilities: IMAPCapabilities, hasQResync: Bool = false
  ) -> IMAPEncodedCommand {
    var writer = IMAPCommandWriter(tag: tag, capabilities: capabilities)
    writer.put(command, hasQResync: hasQResync)
    return writer.finish()
  }

  mutating func finish() -> IMAPEncodedCommand {
    word("\r\n")
    return IMAPEncodedCommand(pieces: pieces + [piece])
  }

  mutating func word(_ text: String) {
    piece.append(contentsOf: text.utf8)
  }

  /// A quoted string where that can say it, or a literal.
  mutating func string(_ text: String) {
    let bytes = Array(text.utf8)
    let isQuotable = bytes.count <= 512 && bytes.allSatisfy { (0x20...0x7e).contains($0) }
    guard isQuotable else { return literal(bytes) }
    piece.append(UInt8(ascii: "\""))
    for byte in bytes {
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { piece.append(UInt8(ascii: "\\")) }
      piece.append(byte)
    }
    piece.append(UInt8(ascii: "\""))
  }

  mutating func literal(_ bytes: [UInt8]) {
    if let most = capabilities.literalWithoutLeaveBytesMax, bytes.count <= most {
      word("{\(bytes.count)+}\r\n")
    } else {
      word("{\(bytes.count)}\r\n")
      pieces.append(piece)
      piece = []
    }
    piece.append(contentsOf: bytes)
  }

  private mutating func mailbox(_ name: String) {
    string(capabilities.namesAreUTF8 ? name : IMAPMailboxName.encode(name))
  }

  private mutating func put(_ command: IMAPCommand, hasQResync: Bool) {
    switch command {
    case .noop: word(" NOOP")
    case .logout: word(" LOGOUT")
    case .idle: word(" IDLE")
    case .list(let reference, let pattern):
      word(" LIST ")
      mailbox(reference)
      word(" ")
      mailbox(pattern)
    case .select(let name, let isReadOnly):
      word(isReadOnly ? " EXAMINE " : " SELECT ")
      mailbox(name)
      if capabilities.condStore { word(" (CONDSTORE)") }
    case .create(let name):
      word(" CREATE ")
      mailbox(name)
    case .delete(let name):
      word(" DELETE ")
      mailbox(name)
    case .expunge: word(" EXPUNGE")
    case .searchUIDs(let first, let last):
      let results = capabilities.extendedSearch ? "RETURN (ALL) " : ""
      word(" UID SEARCH \(results)UID \(first):\(last.map(String.init) ?? "*")")
    case .fetch(let uids, let items, let changedSince):
      word(" UID FETCH \(uids) (UID")
      for item in items { put(item) }
      word(")")
      if let changedSince {
        word(" (CHANGEDSINCE \(changedSince)\(hasQResync ? " VANISHED" : ""))")
      }
    case .fetchLastUID: word(" UID FETCH * (UID)")
    case .store(let uids, let change, let flags):
      word(" UID STORE \(uids) \(change.rawValue) (\(Self.flagList(flags)))")
    case .append(let name, let flags, let date, let message):
      word(" APPEND ")
      mailbox(name)
      if !flags.isEmpty { word(" (\(Self.flagList(flags)))") }
      if let date { word(" \"\(IMAPDateTime.format(date))\"") }
      word(" ")
      literal(message)
    }
  }

  private mutating func put(_ item: IMAPCommand.FetchItem) {
    switch item {
    case .flags: word(" FLAGS")
    case .internalDate: word(" INTERNALDATE")
    case .size: word(" RFC822.SIZE")
    case .modSeq: word(" MODSEQ")
    case .body(let bytesMax): word(" BODY.PEEK[]<0.\(bytesMax)>")
    case .header(let bytesMax): word(" BODY.PEEK[HEADER]<0.\(bytesMax)>")
    }
  }

  /// Words only: what is no atom is left out.
  private static func flagList(_ flags: [String]) -> String {
    flags.filter { flag in
      let name = flag.hasPrefix("\\") ? flag.dropFirst() : flag[...]
      return !name.isEmpty
        && name.utf8.allSatisfy { (0x21...0x7e).contains($0) && !"(){%*\"\\]".utf8.contains($0) }
    }.joined(separator: " ")
  }
}
