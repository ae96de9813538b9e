import Bytes
import Security

extension IdempotencyKey {
  private static let bytesMax = 255

  /// The key with what it stands for: a message in a conversation, whichever way it is asked for and however
  /// its JSON is written. nil: no key was given.
  init?(
    _ text: String?, for fields: RequestFields, in conversation: UUIDv7
  ) throws(Problem) {
    guard let text, !text.isEmpty else { return nil }
    guard text.utf8.count <= Self.bytesMax else {
      throw .invalid("the idempotency key has to be at most \(Self.bytesMax) bytes")
    }
    self.init(
      text: text, hash: Digest.sha256(Array("\(conversation)".utf8) + [0] + fields.document))
  }
}
