package import Bytes
import JSON
package import Messaging
package import Security

/// Links to files that need no token of a user: whoever has one may have that file, until it ends.
///
/// A link says itself what it is for, authenticated by a key that only the hub's nodes have. Nothing is kept.
package struct FileLinks: Sendable {
  /// A link for browsers, which send no Authorization for a picture.
  package struct AttachmentLink: Sendable, Equatable {
    package let user: UserKey
    package let message: UUIDv7
    package let position: Int
    package let expiresAt: Timestamp
  }

  /// A link for platforms, which fetch by themselves what is sent.
  package struct PublicFile: Sendable, Equatable {
    package let key: String
    package let name: String
    package let type: String
  }

  private static let attachmentPurpose = "attachment link"
  private static let publicPurpose = "public file"
  package static let attachmentSeconds: Int64 = 600
  /// Some platforms fetch when the receiver opens the message.
  private static let publicSeconds: Int64 = 7 * 86_400
  private static let tokenBytesMax = 2_048

  private let keys: KeyRing
  /// How platforms reach the hub; nil: it was not said.
  private let publicURL: String?

  package init(keys: KeyRing, publicURL: String?) {
    self.keys = keys
    self.publicURL = publicURL
  }

  // MARK: Attachments

  package func token(_ link: AttachmentLink) -> String {
    seal(
      [
        "t": .string(link.user.tenant), "u": .string(link.user.user), "m": .string("\(link.message)"),
        "p": .integer(Int64(link.position)), "e": .integer(link.expiresAt.seconds),
      ], Self.attachmentPurpose)
  }

  /// nil: it is none, or it has ended.
  package func attachment(_ token: String, now: Timestamp) -> AttachmentLink? {
    guard let json = open(token, Self.attachmentPurpose, now), let tenant = json["t"]?.string,
      let user = json["u"]?.string, let message = json["m"]?.string.flatMap({ UUIDv7($0) }),
      let position = json["p"]?.integer, let end = json["e"]?.integer
    else { return nil }
    return AttachmentLink(
      user: UserKey(tenant: tenant, user: user), message: message, position: Int(position),
      expiresAt: Timestamp(seconds: end))
  }

  // MARK: Files that are sent

  /// The file with an address by which the platform can fetch it, where the hub can be reached.
  package func published(_ file: OutboundFile, now: Timestamp) -> OutboundFile {
    guard !file.storageKey.isEmpty, let publicURL else { return file }
    let token = seal(
      [
        "k": .string(file.storageKey), "n": .string(String(file.name.suffix(80))),
        "c": .string(file.mimeType),
        "e": .integer(now.seconds + Self.publicSeconds),
      ], Self.publicPurpose)
    var file = file
    file.publicURL = "\(publicURL)/files/\(token)"
    return file
  }

  package func published(_ action: OutboundAction, now: Timestamp) -> OutboundAction {
    guard case .message(var message) = action else { return action }
    message.files = message.files.map { published($0, now: now) }
    return .message(message)
  }

  /// nil: it is none, or it has ended.
  package func file(_ token: String, now: Timestamp) -> PublicFile? {
    guard let json = open(token, Self.publicPurpose, now), let key = json["k"]?.string,
      let name = json["n"]?.string, let type = json["c"]?.string
    else { return nil }
    return PublicFile(key: key, name: name, type: type)
  }

  // MARK: Tokens

  private func seal(_ json: JSONValue, _ purpose: String) -> String {
    let bytes = json.encoded()
    return Base64.encode(bytes, .url) + "." + Base64.encode(keys.code(bytes, purpose: purpose), .url)
  }

  private func open(_ token: String, _ purpose: String, _ now: Timestamp) -> JSONValue? {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard token.utf8.count <= Self.tokenBytesMax, parts.count == 2,
      let bytes = Base64.decode(parts[0], .url), let code = Base64.decode(parts[1], .url),
      keys.isGenuine(code, bytes, purpose: purpose), let json = try? JSONValue(parsing: bytes),
      let end = json["e"]?.integer, now.seconds < end
    else { return nil }
    return json
  }
}
