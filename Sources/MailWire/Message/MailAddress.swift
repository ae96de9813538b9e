/// Somebody's address with the name that people see.
package struct MailAddress: Sendable, Equatable {
  package var name: String
  /// `local@domain`.
  package var address: String

  package init(name: String = "", _ address: String) {
    self.name = name
    self.address = address
  }

  /// Whether an address can stand between `<` and `>` and nowhere be read as something else. Quoted local
  /// parts are not taken.
  package static func isSayable(_ address: String) -> Bool {
    guard address.utf8.count <= 320, let at = address.lastIndex(of: "@") else { return false }
    let local = address[..<at]
    let domain = address[address.index(after: at)...]
    guard !local.isEmpty, !domain.isEmpty, local.utf8.count <= 64 else { return false }
    func isWord(_ scalar: Unicode.Scalar, _ extra: String) -> Bool {
      if scalar.value >= 0x80 {
        return !(0x80...0x9f).contains(scalar.value) && !scalar.properties.isWhitespace
      }
      return scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
        || extra.unicodeScalars.contains(scalar)
    }
    return local.unicodeScalars.allSatisfy { isWord($0, "!#$%&'*+-/=?^_`{|}~.") }
      && domain.unicodeScalars.allSatisfy { isWord($0, "-._:[]") }
  }
}
