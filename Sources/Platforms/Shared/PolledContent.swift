import JSON
import Messaging

extension Normalised {
  /// Adds what one part of an answer says, or why it cannot be read; the rest of the answer stands.
  mutating func read(_ items: () throws(NormaliseError) -> [InboundItem]) {
    do throws(NormaliseError) {
      add(try items())
    } catch {
      faults.append(error)
    }
  }

  /// Without what was sent before a time: that is history.
  func since(_ time: (InboundMessage) -> Bool) -> Normalised {
    let kept = items.filter { item in
      guard case .message(let message) = item else { return true }
      return time(message)
    }
    return Normalised(items: kept, faults: faults)
  }
}

extension JSONReader {
  /// Reads a body that is a list of objects.
  static func list(body: [UInt8], max limit: Int = 1_000) throws(NormaliseError) -> [JSONReader] {
    let wrapped = Array("{\"list\":".utf8) + body + [UInt8(ascii: "}")]
    let reader = try JSONReader(body: wrapped)
    return try reader.required("list", reader.objects("list", max: limit))
  }

  /// The same object with more members, or others.
  func adding(_ more: [String: JSONValue]) -> JSONReader {
    JSONReader(members.merging(more) { $1 }, path: path)
  }
}

extension AccountSecrets {
  /// Where a self-hosted server is, without a slash at the end; nil: nobody said.
  /// - Parameter field: the platform's own credential for it.
  func server(_ field: String) -> String? {
    guard first(AccountSecrets.addressField.name) ?? first(field) != nil else { return nil }
    return apiURL(first(field) ?? "")
  }
}

extension APIFailure {
  /// An answer of 200 that is not what the platform promises.
  static func unreadable(_ what: String, isRepeatable: Bool = true) -> APIFailure {
    APIFailure("the answer is no \(what)", isRepeatable ? .later(seconds: nil) : .unknown)
  }
}
