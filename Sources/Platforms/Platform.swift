package import Bytes
package import Messaging

/// A platform's name in URLs, rows and metrics.
package struct PlatformName: RawRepresentable, Sendable, Hashable, ExpressibleByStringLiteral,
  CustomStringConvertible
{
  package let rawValue: String

  package init(rawValue: String) { self.rawValue = rawValue }
  package init(stringLiteral value: String) { rawValue = value }
  package var description: String { rawValue }
}

/// A credential that an account of a platform has.
package struct CredentialField: Sendable, Equatable {
  package let name: String
  /// For people.
  package let explanation: String
  /// Never shown again once given.
  package let isSecret: Bool
  package let isRequired: Bool
  /// Made by the hub when it is not given.
  package let isGenerated: Bool

  package init(_ name: String, _ explanation: String, isSecret: Bool, isRequired: Bool, isGenerated: Bool) {
    self.name = name
    self.explanation = explanation
    self.isSecret = isSecret
    self.isRequired = isRequired
    self.isGenerated = isGenerated
  }
}

/// What the hub knows about a messaging platform. Pure: no clock, no sockets, no randomness.
package protocol Platform: Sendable {
  var name: PlatformName { get }
  /// For people.
  var displayName: String { get }
  var capabilities: ConversationCapabilities { get }
  /// Raised when `normalise` reads more or other than before; dead deliveries can then be replayed.
  var parserVersion: Int { get }
  var credentials: [CredentialField] { get }
  /// Whether the platform calls a webhook URL at all; false: it is polled, and `receive` refuses.
  var hasWebhook: Bool { get }
  /// What the platform uses on a webhook URL; anything else is answered 405.
  var methods: [String] { get }
  /// Lower-case names of headers that are kept with a delivery beside those of every platform. None may
  /// authenticate it.
  var keptHeaders: Set<String> { get }
  /// The credential that holds the platform's own id of an account, as deliveries name it. nil: each
  /// account has a webhook URL of its own, and a delivery is always for that account.
  var accountField: String? { get }
  /// The credentials by which a delivery to the one URL of an app is verified.
  var appCredentials: [String] { get }

  /// What a sender is told whose request is refused. nil: 401 and a problem document.
  var refusal: WebhookAnswer? { get }

  /// What is wrong with an account's credentials, for people; nil: nothing.
  func fault(in secrets: AccountSecrets) -> String?

  /// Values for generated credentials that were not given.
  /// - Parameter random: gives this many random bytes.
  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String]

  /// Checks a request over its raw bytes and says what to answer. Never reads the payload beyond that.
  func receive(_ request: WebhookRequest, _ context: WebhookContext) -> WebhookVerdict

  /// Reads everything that a verified delivery says. Deterministic: a replay gives the same items.
  /// - Throws: when nothing can be read.
  func normalise(_ delivery: WebhookDelivery) throws(NormaliseError) -> Normalised

  /// The bytes of a file that came inside a delivery: what an attachment's `externalID` names. Deterministic.
  /// nil: the delivery has no such part, or the platform keeps its files elsewhere.
  func file(_ externalID: String, in delivery: WebhookDelivery) -> [UInt8]?

  /// The request as the platform would send it, signed; for simulations. nil when the secrets cannot
  /// sign.
  /// - Parameter id: for schemes that number their deliveries.
  func signed(
    _ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp, id: String
  ) -> WebhookRequest?
}

extension Platform {
  package var hasWebhook: Bool { true }
  package var methods: [String] { ["POST"] }
  package var keptHeaders: Set<String> { [] }
  package var accountField: String? { nil }
  package var appCredentials: [String] { [] }
  package var refusal: WebhookAnswer? { nil }
  package func fault(in secrets: AccountSecrets) -> String? { nil }
  package func file(_ externalID: String, in delivery: WebhookDelivery) -> [UInt8]? { nil }
  package func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String] { [:] }
}

/// What was read from one delivery.
package struct Normalised: Sendable, Equatable {
  /// What is for one account.
  package struct Part: Sendable, Equatable {
    /// The platform's own id of the account; nil: that of the webhook URL.
    package var account: String?
    package var items: [InboundItem]

    package init(account: String? = nil, items: [InboundItem]) {
      self.account = account
      self.items = items
    }
  }

  /// In the order of the delivery; an account may come several times.
  package private(set) var parts: [Part]
  /// Places that could not be read, beside those that could.
  package var faults: [NormaliseError]

  package init(parts: [Part], faults: [NormaliseError] = []) {
    self.parts = parts
    self.faults = faults
  }

  package init(items: [InboundItem] = [], faults: [NormaliseError] = []) {
    self.init(parts: items.isEmpty ? [] : [Part(items: items)], faults: faults)
  }

  /// Of all accounts.
  package var items: [InboundItem] { parts.flatMap(\.items) }

  /// Adds items behind those that are there.
  package mutating func add(_ items: [InboundItem], account: String? = nil) {
    guard !items.isEmpty else { return }
    if parts.last?.account == account, !parts.isEmpty {
      parts[parts.count - 1].items += items
    } else {
      parts.append(Part(account: account, items: items))
    }
  }
}

/// Why a verified body, or a part of it, cannot be read. Kept with the delivery, for people.
package enum NormaliseError: Error, Equatable, CustomStringConvertible {
  case notJSON
  /// `expected` is as in "a form".
  case wrongBody(expected: String)
  /// What a platform encrypted does not open with the account's secrets.
  case cannotDecrypt
  /// `path` is as in `batch[3].message.id`; empty: the document.
  case missing(path: String)
  case wrongType(path: String, expected: String)
  case wrongValue(path: String, expected: String)
  case tooMany(path: String, limit: Int)

  package var description: String {
    switch self {
    case .notJSON: "the body is not JSON"
    case .wrongBody(let expected): "the body is not \(expected)"
    case .cannotDecrypt: "the encrypted content does not open with the account's secrets"
    case .missing(let path): "\(path) is missing"
    case .wrongType(let path, let expected): "\(path.isEmpty ? "the body" : path) is not \(expected)"
    case .wrongValue(let path, let expected): "\(path) is not \(expected)"
    case .tooMany(let path, let limit): "\(path) has more than \(limit) members"
    }
  }
}
