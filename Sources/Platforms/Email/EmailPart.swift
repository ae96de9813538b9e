import MIME
import Messaging

/// The names by which an attachment tells where in its delivery it is. The raw delivery stays in the ledger;
/// `Platform.file(_:in:)` takes the bytes out of it by such a name.
enum EmailPart {
  private static let prefix = Attachment.partPrefix

  /// A part of the raw message.
  static func section(_ section: String) -> String { "\(prefix)mime/\(section)" }

  /// A field of the form, or a member of the document.
  static func field(_ name: String) -> String { "\(prefix)field/\(name)" }

  /// The section of a name that `section` made.
  static func section(of id: String) -> String? { rest(of: id, behind: "mime/") }

  /// The field of a name that `field` made.
  static func field(of id: String) -> String? { rest(of: id, behind: "field/") }

  private static func rest(of id: String, behind kind: String) -> String? {
    let start = prefix + kind
    return id.hasPrefix(start) ? String(id.dropFirst(start.count)) : nil
  }

  /// The bytes of a part of a raw message. A message inside comes as it was sent.
  static func bytes(of id: String, inMessage raw: [UInt8]) -> [UInt8]? {
    guard let section = section(of: id), let entity = MIMEEntity(parsing: raw)[section] else { return nil }
    return entity.isLeaf ? entity.bytes : Array(entity.rawBody)
  }
}
