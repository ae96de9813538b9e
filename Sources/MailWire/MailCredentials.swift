import Bytes
package import Telemetry

/// Who logs in, and with what. The secret is shown by nothing that prints it.
package struct MailCredentials: Sendable {
  package enum Proof: Sendable {
    case password(Secret<String>)
    /// An OAuth 2 access token, for XOAUTH2.
    case accessToken(Secret<String>)
  }

  package var user: String
  package var proof: Proof

  package init(user: String, _ proof: Proof) {
    self.user = user
    self.proof = proof
  }

  package init(user: String, password: String) {
    self.init(user: user, .password(Secret(password)))
  }

  package init(user: String, accessToken: String) {
    self.init(user: user, .accessToken(Secret(accessToken)))
  }

  var isToken: Bool {
    if case .accessToken = proof { return true }
    return false
  }

  var secret: String {
    switch proof {
    case .password(let secret), .accessToken(let secret): secret.exposed
    }
  }

  /// The one message of SASL PLAIN (RFC 4616) or XOAUTH2, in base64.
  var initialResponse: String {
    switch proof {
    case .password: Base64.encode(Array("\0\(user)\0\(secret)".utf8))
    case .accessToken: Base64.encode(Array("user=\(user)\u{1}auth=Bearer \(secret)\u{1}\u{1}".utf8))
    }
  }

  var mechanism: String { isToken ? "XOAUTH2" : "PLAIN" }

  /// NUL cannot be said in either protocol, and a control character in a token would say something else.
  var isSayable: Bool {
    !user.isEmpty
      && !(user + secret).unicodeScalars.contains {
        $0.value == 0 || $0 == "\r" || $0 == "\n" || $0.value == 1
      }
  }
}

/// How a connection to a mail server is protected.
package enum MailSecurity: String, Sendable, Equatable {
  /// TLS from the first byte (RFC 8314).
  case implicitTLS
  /// Plain at first, TLS before anything is said that matters. A server that does not offer it is left.
  case startTLS
  /// For a server on the same machine.
  case none
}
