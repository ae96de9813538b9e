import Bytes
import Security

/// Opens what Graph encrypts: a key of the account opens the data key, which signs the content (HMAC-SHA256)
/// and opens it (AES-256-CBC, PKCS #7, the vector from the key's beginning).
///
/// Keeps the data keys that it opened: Graph may use one for a batch, and opening one is what costs.
struct GraphSeal {
  enum Content: Equatable {
    /// No key of the account opens its data key.
    case locked
    /// The signature does not fit.
    case forged
    case open([UInt8])
  }

  private let keys: [RSAOAEP]
  private var opened: [String: [UInt8]?] = [:]

  init(_ secrets: AccountSecrets) {
    keys = secrets[TeamsGraphPlatform.keyField].compactMap { RSAOAEP(pem: $0) }
  }

  /// The content, once its signature is good.
  mutating func open(_ sealed: JSONReader) throws(NormaliseError) -> Content {
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

  private mutating func dataKey(_ text: String) -> [UInt8]? {
    if let known = opened[text] { return known }
    var found: [UInt8]?
    if let sealed = Base64.decode(text) {
      for key in keys where found == nil {
        found = key.open(sealed).flatMap { $0.count == AESCBC.keyBytes ? $0 : nil }
      }
    }
    opened[text] = .some(found)
    return found
  }
}
