import Bytes
import Security

/// A header with the HMAC of what was sent, keyed with a secret of the account: the scheme of most
/// platforms, in their varieties. It covers no time unless the platform puts one into what is signed.
struct HMACSignature: Sendable {
  enum Hash: Sendable { case sha1, sha256 }
  /// Hexadecimal digits of either case, or base64.
  enum Form: Sendable { case hex, base64 }

  let header: String
  /// What stands before the code in the header.
  var prefix = ""
  var hash = Hash.sha256
  let form: Form
  /// The credential with the secret.
  let secretField: String

  /// - Parameter content: what is signed; nil: the body.
  /// - Returns: why a request is refused; nil: its signature is good.
  func refusal(
    of request: WebhookRequest, _ context: WebhookContext, content: [UInt8]? = nil
  ) -> String? {
    guard let value = request.header(header) else { return "the header \(header) is missing" }
    guard value.hasPrefix(prefix), let given = decode(value.dropFirst(prefix.count)) else {
      return "the header \(header) is not \(prefix)\(form == .hex ? "hexadecimal digits" : "base64")"
    }
    let isGood = context.secrets.anyMatches(secretField) { secret in
      constantTimeEquals(given, code(content ?? request.body, secret))
    }
    return isGood ? nil : "the signature is wrong"
  }

  /// The request with its signature; nil when there is no secret.
  func sign(
    _ request: WebhookRequest, secrets: AccountSecrets, content: [UInt8]? = nil
  ) -> WebhookRequest? {
    secrets[secretField].first.map { secret in
      request.adding(WebhookHeader(header, prefix + text(of: content ?? request.body, secret)))
    }
  }

  /// The code as it stands behind the prefix.
  func text(of content: [UInt8], _ secret: String) -> String {
    let code = code(content, secret)
    return form == .hex ? Hex.encode(code) : Base64.encode(code)
  }

  private func code(_ content: [UInt8], _ secret: String) -> [UInt8] {
    let key = Array(secret.utf8)
    return hash == .sha1 ? HMAC.sha1(content, key: key) : HMAC.sha256(content, key: key)
  }

  private func decode(_ text: Substring) -> [UInt8]? {
    form == .hex ? Hex.decode(text) : Base64.decode(text)
  }
}
