package import Bytes
import HTTPWire
package import JSON
package import Messaging

/// How the files of a platform's messages are fetched, where that is more than a GET of their link. Pure: a
/// job goes in, the next step comes out.
package protocol FilePlatform: Platform {
  /// The next step. Called first without answers, then with the answer to each call, and with that of a
  /// download which the server refused. The same answers give the same step.
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep
}

/// A file that a message of a platform named, with all that may be needed to have it.
package struct FileJob: Sendable, Equatable {
  package var attachment: Attachment
  package var conversation: ConversationRef
  /// The platform's id of the message.
  package var messageID: String
  /// What the message has beside text and files.
  package var details: JSONValue?
  /// The platform's own id of the account, where it is known.
  package var account: String?
  package var secrets: AccountSecrets
  /// A fresh access token of the platform's `tokenSource`.
  package var token: String?
  package var now: Timestamp

  package init(
    attachment: Attachment, conversation: ConversationRef, messageID: String, details: JSONValue? = nil,
    account: String? = nil, secrets: AccountSecrets, token: String? = nil, now: Timestamp
  ) {
    self.attachment = attachment
    self.conversation = conversation
    self.messageID = messageID
    self.details = details
    self.account = account
    self.secrets = secrets
    self.token = token
    self.now = now
  }
}

/// What comes next on the way to a file.
package enum FileStep: Sendable, Equatable {
  case call(APIRequest)
  /// The answer is the file. Redirects are followed; to another origin without the headers.
  case download(APIRequest)
  /// The same, but JSON and plain text are no file: they come as the next answer, like a refusal.
  case downloadOrAnswer(APIRequest)
  /// The file came within an answer.
  case content([UInt8])
  case failed(APIFailure)
}

/// The steps of any platform.
package enum FileFetch {
  /// A GET of the link that came with the message, without anything of the account.
  package static func plain(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last { return .failed(failure(answer, file)) }
    guard let url = file.attachment.url else { return .failed(nothing) }
    return .download(APIRequest("GET", url))
  }

  /// A GET of the link, and where that is refused for want of credentials, once more with the account's.
  /// - Parameters:
  ///   - hosts: where the credentials may be sent to.
  ///   - field: the credential that is needed then.
  ///   - signed: the request with credentials; nil: the account has none.
  static func open(
    _ file: FileJob, after answers: [APIAnswer], hosts: [String], credentials field: String,
    _ signed: (APIRequest) -> APIRequest?
  ) -> FileStep {
    guard let answer = answers.last, let url = file.attachment.url else { return plain(file, after: answers) }
    guard answers.count == 1, [401, 403].contains(answer.status), isTrusted(url, hosts, file.secrets) else {
      return .failed(failure(answer, file))
    }
    return signed(APIRequest("GET", url)).map { .download($0) } ?? missing(field)
  }

  static let nothing = APIFailure("the platform gave no link and no id by which the file can be fetched")

  static func missing(_ field: String) -> FileStep {
    .failed(APIFailure("the account has no \(field), which fetching files needs"))
  }

  /// What a refusal means for a file: one that is gone or forbidden stays so.
  static func failure(_ answer: APIAnswer, _ file: FileJob, reason: String? = nil) -> APIFailure {
    let words = reason ?? "the platform answered \(answer.status) when the file was fetched"
    switch answer.status {
    // Not ready yet, or too much at once: a store of files says nothing of the account's other calls.
    case 202, 429: return APIFailure(words, .later(seconds: RetryAfter.seconds(answer, now: file.now)))
    case 401 where file.token != nil: return APIFailure(words, .renewToken)
    case 401: return APIFailure(words)
    default: return APIFailure(answer, reason: words, isRepeatable: true, now: file.now)
    }
  }

  /// Whether a link leads to one of these hosts or below them, or to where the account's API is: the
  /// account's secrets go nowhere else, whatever a message says.
  static func isTrusted(_ url: String, _ hosts: [String], _ secrets: AccountSecrets) -> Bool {
    guard let target = try? HTTPURL(url) else { return false }
    if FileOrigins(secrets).contains(url) { return true }
    return target.scheme == .https && target.port == 443
      && hosts.contains { target.host == $0 || target.host.hasSuffix(".\($0)") }
  }
}

/// The servers that an account names itself. They may be anywhere, also on a private network: who owns the
/// account said so.
package struct FileOrigins: Sendable {
  private static let fields = [AccountSecrets.addressField.name, "server", "homeserver"]
  private let origins: Set<String>

  package init(_ secrets: AccountSecrets) {
    origins = Set(Self.fields.compactMap { secrets.first($0) }.compactMap { try? HTTPURL($0).origin })
  }

  package func contains(_ url: String) -> Bool {
    (try? HTTPURL(url)).map { origins.contains($0.origin) } ?? false
  }
}

extension AccountSecrets {
  /// A self-hosted server: the platform's own field, or the one of all platforms. nil: neither is given.
  func serverURL(_ field: String) -> String? {
    let address = apiURL(first(field) ?? "")
    return address.isEmpty ? nil : address
  }
}
