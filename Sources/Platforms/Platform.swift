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

  /// What is wrong with an account's credentials, for people; nil: nothing.
  func fault(in secrets: AccountSecrets) -> String?

  /// Values for generated credentials that were not given.
  /// - Parameter random: gives this many random bytes.
  func generated(for secrets: AccountSecrets, random: (Int) -> [UInt8]) -> [String: String]

  /// Checks a request over its raw bytes and says what to answer. Never reads the payload beyond that.
  func receive(_ request: WebhookRequest, secrets: AccountSecrets, now: Timestamp) -> WebhookVerdict

  /// Reads everything that a verified body says. Deterministic: a replay gives the same items.
  /// - Parameter receivedAt: stands in where the platform gives no time.
  /// - Throws: when nothing can be read.
  func normalise(
    _ body: [UInt8], headers: KeptHeaders, receivedAt: Timestamp
  ) throws(NormaliseError) -> Normalised

  /// The headers that the platform would send with this body; for simulations. nil when the secrets
  /// cannot sign.
  func sign(
    _ body: [UInt8], secrets: AccountSecrets, now: Timestamp, id: String
  ) -> [WebhookHeader]?
}

/// What was read from one delivery.
package struct Normalised: Sendable, Equatable {
  package var items: [InboundItem]
  /// Parts that could not be read, beside those that could.
  package var faults: [NormaliseError]

  package init(items: [InboundItem] = [], faults: [NormaliseError] = []) {
    self.items = items
    self.faults = faults
  }
}

/// Why a verified body, or a part of it, cannot be read. Kept with the delivery, for people.
package enum NormaliseError: Error, Equatable, CustomStringConvertible {
  case notJSON
  /// `path` is as in `batch[3].message.id`; empty: the document.
  case missing(path: String)
  case wrongType(path: String, expected: String)
  case wrongValue(path: String, expected: String)
  case tooMany(path: String, limit: Int)

  package var description: String {
    switch self {
    case .notJSON: "the body is not JSON"
    case .missing(let path): "\(path) is missing"
    case .wrongType(let path, let expected): "\(path.isEmpty ? "the body" : path) is not \(expected)"
    case .wrongValue(let path, let expected): "\(path) is not \(expected)"
    case .tooMany(let path, let limit): "\(path) has more than \(limit) members"
    }
  }
}

/// All platforms of this build.
package enum PlatformCatalogue {
  package static let all: [any Platform] = [TelegramPlatform(), CustomPlatform()]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name.rawValue, $0) })

  package static func named(_ name: String) -> (any Platform)? { byName[name] }
}
