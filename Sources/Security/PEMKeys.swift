import Synchronization

/// RSA keys that were read from PEM texts, and what they opened last, for as long as this is kept: reading a
/// key costs more than using it, and whoever verifies a request opens what is opened again to read it.
/// May be used from any thread.
package final class PEMKeys: Sendable {
  /// What is kept of each kind; all go when there are more.
  private static let keptMax = 32

  private struct Sealed: Hashable {
    let bytes: [UInt8]
    let pem: String

    func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
  }

  private let keys = Mutex<[String: RSAOAEP?]>([:])
  private let opened = Mutex<[Sealed: [UInt8]?]>([:])

  package init() {}

  /// `RSAOAEP.open` with the key of a PEM text; nil too when that is no such key.
  package func open(_ bytes: [UInt8], pem: String) -> [UInt8]? {
    let sealed = Sealed(bytes: bytes, pem: pem)
    if let known = opened.withLock({ $0[sealed] }) { return known }
    let found = key(pem)?.open(bytes)
    opened.withLock { Self.keep(found, as: sealed, in: &$0) }
    return found
  }

  private func key(_ pem: String) -> RSAOAEP? {
    if let known = keys.withLock({ $0[pem] }) { return known }
    let key = RSAOAEP(pem: pem)
    keys.withLock { Self.keep(key, as: pem, in: &$0) }
    return key
  }

  private static func keep<Name: Hashable, Value>(
    _ value: Value?, as name: Name, in kept: inout [Name: Value?]
  ) {
    if kept.count >= keptMax { kept.removeAll() }
    kept[name] = .some(value)
  }
}
