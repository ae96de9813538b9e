import Bytes
import Messaging
import MIME
import Security

/// Which conversation a mail belongs to, from its header alone (RFC 5322 section 3.6.4).
///
/// The conversation is named by the first mail of the thread: every later one names that first in
/// `References`. A client that leaves `References` out names at least the mail that it answers.
struct EmailThread: Sendable, Equatable {
  private static let idBytesMax = 512
  private static let referencesMax = 20

  /// The mail's own `Message-ID`; nil: it has none.
  let message: String?
  /// The mail that this one answers.
  let parent: String?
  let root: String?
  /// For the header of an answer: the first and the last ones.
  let references: [String]

  init(_ headers: MailHeaders) {
    let ids = headers["References"].map { MessageID.list($0) } ?? []
    let answered = headers["In-Reply-To"].map { MessageID.list($0) } ?? []
    message = headers["Message-ID"].flatMap { MessageID.list($0).first }.map { Self.bounded($0) }
    parent = (answered.first ?? ids.last).map { Self.bounded($0) }
    root = (ids.first ?? answered.first).map { Self.bounded($0) } ?? message
    let chain = ids.isEmpty ? Array(answered.prefix(1)) : ids
    let last = chain.dropFirst().suffix(Self.referencesMax - 1)
    references = (chain.prefix(1) + last).map { Self.bounded($0) }
  }

  /// One that needs no more bytes than an id may have, and is the same for the same text.
  static func bounded(_ id: String) -> String {
    let clean = MessageText.sanitised(id, bytesMax: .max)
    return clean.utf8.count <= idBytesMax ? clean : "sha256:" + Hex.encode(Digest.sha256(Array(clean.utf8)))
  }
}

/// Subjects without the marks of answers and forwards: what a thread is about.
enum EmailSubject {
  /// In the languages of common clients: English, German, French, Spanish, Italian, Portuguese, Dutch,
  /// Scandinavian, Finnish, Polish, Hungarian, Turkish, Chinese, Japanese.
  private static let marks: Set<String> = [
    "re", "fwd", "fw", "aw", "wg", "antw", "tr", "rép", "rif", "i", "r", "res", "enc", "rv", "sv", "vs",
    "vl", "vb", "vá", "odp", "pd", "ynt", "ilt", "回复", "答复", "转发", "返信",
  ]
  private static let marksMax = 32

  /// nil when nothing is left.
  static func base(_ subject: String?) -> String? {
    var rest = (subject ?? "").singleSpaced[...]
    for _ in 0..<marksMax {
      guard let colon = rest.prefix(16).firstIndex(where: { $0 == ":" || $0 == "：" }) else { break }
      // `Re[2]:` and `Re (3):` count.
      let word = rest[..<colon].lowercased().prefix { $0 != "[" && $0 != "(" && $0 != " " && $0 != "^" }
      let count = rest[..<colon].dropFirst(word.count)
      guard marks.contains(String(word)), count.allSatisfy({ "[]()^ ".contains($0) || $0.isNumber }) else {
        break
      }
      rest = rest[rest.index(after: colon)...].drop(while: \.isWhitespace)
    }
    return MessageText.name(String(rest))
  }
}
