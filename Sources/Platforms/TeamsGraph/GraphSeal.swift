import Bytes
import Security

/// Opens what Graph encrypts: a key of the account opens the data key, which signs the content (HMAC-SHA256)
/// and opens it (AES-256-CBC, PKCS #7, the vector from the key's beginning).
struct GraphSeal {
  enum Content: Equatable {
    /// No key of the account opens its data key.
    case locked
    /// The signature does not fit.
    case forged
    case open([UInt8])
  }

  private let secrets: AccountSecrets

  init(_ secrets: AccountSecrets) {
    self.secrets = secrets
  }

  /// The content, once its signature is good.
  func open(_ sealed: JSONReader) throws(NormaliseError) -> Content {
    let data = try bytes("data", of: sealed)
    let signature = try bytes("dataSignature", of: sealed)
    guard let key = dataKey(try sealed.required("dataKey", sealed.text("dataKey"))) else { return .locked }
    guard constantTimeEquals(signature, HMAC.sha256(data, key: key)) else { return .forged }
    guard let padded = AESCBC.open(data, key: key, vector: Array(key[..<AESCBC.blockBytes])),
      let last = padded.last, (1...UInt8(AESCBC.blockBytes)).contains(last),
      padded.suffix(Int(last)).allSatisfy({ $0 == last })
    else { return .forged }
    return .open(Array(padded.dropLast(Int(last))))
  }

  private func bytes(_ name: String, of sealed: JSONReader) throws(NormaliseError) -> [UInt8] {
    guard let bytes = Base64.decode(try sealed.required(name, sealed.text(name))) else {
      throw .wrongValue(path: sealed.place(name), expected: "base64")
    }
    return bytes
  }

  private func dataKey(_ text: String) -> [UInt8]? {
    guard let sealed = Base64.decode(text),
      let key = secrets.opened(sealed, by: TeamsGraphPlatform.keyField), key.count == AESCBC.keyBytes
    else { return nil }
    return key
  }
}
