import Synchronization

/// Keys that were read from PEM texts, kept for as long as this is: reading a key costs more than using it.
/// May be used from any thread.
package final class PEMKeys: Sendable {
  /// What is kept beyond these is read anew.
  private static let keptMax = 32

  private let kept = Mutex<[String: RSAOAEP?]>([:])

  package init() {}

  /// See `RSAOAEP.init(pem:)`, whose nil is kept too.
  package func rsa(_ pem: String) -> RSAOAEP? {
    kept.withLock { kept in
      if let known = kept[pem] { return known }
      let key = RSAOAEP(pem: pem)
      if kept.count >= Self.keptMax { kept.removeAll() }
      kept[pem] = .some(key)
      return key
    }
  }
}
