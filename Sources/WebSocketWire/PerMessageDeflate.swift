/// permessage-deflate (RFC 7692): what two sides agreed on about compressed messages.
///
/// The parameters have the names of section 7.1. A context that is kept from message to message
/// compresses better and holds zlib memory for as long as the connection lives: up to 260 KiB for
/// sending and 40 KiB for receiving. Without it a connection holds none between messages, and one
/// compressed frame can be shared by many receivers.
package struct PerMessageDeflate: Sendable, Equatable {
  /// What a server agrees to.
  package struct Policy: Sendable, Equatable {
    /// Whether contexts are kept, unless the client asks otherwise.
    package var keepsContexts: Bool
    /// Shorter messages are sent as they are.
    package var messageBytesMin: Int

    package init(keepsContexts: Bool, messageBytesMin: Int) {
      self.keepsContexts = keepsContexts
      self.messageBytesMin = messageBytesMin
    }

    /// For many connections that are mostly idle: no context is kept, and what fits a packet or so
    /// is not worth the processor time.
    package static let frugal = Policy(keepsContexts: false, messageBytesMin: 1_024)
    /// Everything as the client asks for it.
    package static let asOffered = Policy(keepsContexts: true, messageBytesMin: 0)
  }

  package let serverNoContextTakeover: Bool
  package let clientNoContextTakeover: Bool
  /// The server's window as a power of two, 8 to 15; nil: not spoken of, which means 15.
  package let serverMaxWindowBits: Int?
  package let clientMaxWindowBits: Int?
  /// Shorter messages are sent as they are.
  package let messageBytesMin: Int

  /// Whether what one sender compressed by `MessageDeflater.independent` may be sent to this client.
  package var takesSharedFrames: Bool { serverNoContextTakeover && serverMaxWindowBits ?? 15 == 15 }

  /// Takes the first acceptable offer of the request's `Sec-WebSocket-Extensions` values (section 5).
  /// nil: none, the connection goes on without compression.
  package static func negotiate(offers: [String], policy: Policy = .frugal) -> PerMessageDeflate? {
    for offer in ExtensionOffer.list(of: offers) ?? [] {
      if let accepted = PerMessageDeflate(offer: offer, policy: policy) { return accepted }
    }
    return nil
  }

  /// nil: another extension, or parameters that section 7.1 does not allow.
  private init?(offer: ExtensionOffer, policy: Policy) {
    guard offer.name == "permessage-deflate" else { return nil }
    var values: [String: String?] = [:]
    for parameter in offer.parameters {
      guard !values.keys.contains(parameter.name) else { return nil }
      values[parameter.name] = .some(parameter.value)
    }
    var serverBits: Int?
    var clientBits: Int?
    for (name, value) in values {
      switch (name, value) {
      case ("server_no_context_takeover", nil), ("client_no_context_takeover", nil): break
      case ("client_max_window_bits", nil): break
      case ("client_max_window_bits", let text?):
        guard let bits = Self.windowBits(text) else { return nil }
        clientBits = bits
      case ("server_max_window_bits", let text?):
        guard let bits = Self.windowBits(text) else { return nil }
        serverBits = bits
      default: return nil
      }
    }
    let isAsked = { (name: String) in values.keys.contains(name) }
    serverNoContextTakeover = !policy.keepsContexts || isAsked("server_no_context_takeover")
    clientNoContextTakeover = !policy.keepsContexts || isAsked("client_no_context_takeover")
    serverMaxWindowBits = serverBits
    clientMaxWindowBits = clientBits
    messageBytesMin = policy.messageBytesMin
  }

  /// The value for `Sec-WebSocket-Extensions` in the answer.
  package var response: String {
    var text = "permessage-deflate"
    if serverNoContextTakeover { text += "; server_no_context_takeover" }
    if clientNoContextTakeover { text += "; client_no_context_takeover" }
    if let bits = serverMaxWindowBits { text += "; server_max_window_bits=\(bits)" }
    if let bits = clientMaxWindowBits { text += "; client_max_window_bits=\(bits)" }
    return text
  }

  private static func windowBits(_ text: String) -> Int? {
    guard text.first != "0", text.allSatisfy({ $0.isASCII && $0.isNumber }), let bits = Int(text) else {
      return nil
    }
    return (8...15).contains(bits) ? bits : nil
  }
}
