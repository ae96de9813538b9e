import Bytes
import COpenSSL

/// Certificates and rules for TLS, shared by all connections of one kind. OpenSSL does the work.
package final class TLSContext: @unchecked Sendable {
  // Safe because: configured in the initialisers, afterwards only read; OpenSSL counts references to
  // an SSL_CTX atomically.
  let pointer: OpaquePointer
  let isServer: Bool

  /// For a server: a PEM chain (own certificate first) and its key. TLS 1.2 and 1.3.
  /// - Throws: `.tls` naming the file that cannot be used.
  package init(serverCertificate certificateFile: String, key keyFile: String) throws(SocketError) {
    guard let context = SSL_CTX_new(TLS_server_method()) else { throw .tls("no context") }
    pointer = context
    isServer = true
    Self.configure(context)
    guard SSL_CTX_use_certificate_chain_file(context, certificateFile) == 1 else {
      throw .tls("cannot use the certificate \(certificateFile): \(lastTLSError())")
    }
    guard SSL_CTX_use_PrivateKey_file(context, keyFile, SSL_FILETYPE_PEM) == 1,
      SSL_CTX_check_private_key(context) == 1
    else { throw .tls("cannot use the key \(keyFile): \(lastTLSError())") }
  }

  /// For a client: trusts the system's authorities, or only those of `authorities` (PEM file).
  /// - Parameter alsoSystem: with a file, the system's authorities are trusted too.
  package init(clientTrusting authorities: String?, alsoSystem: Bool = false) throws(SocketError) {
    guard let context = SSL_CTX_new(TLS_client_method()) else { throw .tls("no context") }
    pointer = context
    isServer = false
    Self.configure(context)
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    if let authorities {
      guard SSL_CTX_load_verify_locations(context, authorities, nil) == 1 else {
        throw .tls("cannot use the authorities \(authorities): \(lastTLSError())")
      }
    }
    if authorities == nil || alsoSystem { SSL_CTX_set_default_verify_paths(context) }
  }

  deinit {
    SSL_CTX_free(pointer)
  }

  private static func configure(_ context: OpaquePointer) {
    _ = hub_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)
    _ = hub_SSL_CTX_set_mode(
      context,
      Int(SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
  }
}

/// One connection's TLS state over two memory BIOs: bytes in, bytes out, no socket.
final class TLSSession {
  private let ssl: OpaquePointer
  private let input: OpaquePointer
  private let output: OpaquePointer
  private(set) var isEstablished = false
  private(set) var peerClosed = false

  init(_ context: TLSContext, serverName: String?) throws(SocketError) {
    guard let ssl = SSL_new(context.pointer), let input = BIO_new(BIO_s_mem()),
      let output = BIO_new(BIO_s_mem())
    else { throw .tls("out of memory") }
    self.ssl = ssl
    self.input = input
    self.output = output
    SSL_set_bio(ssl, input, output)
    if context.isServer {
      SSL_set_accept_state(ssl)
    } else {
      SSL_set_connect_state(ssl)
      if let serverName { try expect(serverName) }
    }
  }

  deinit {
    SSL_free(ssl)
  }

  /// The certificate has to be the server's. A name is sent to it too; an address is not (RFC 6066 section
  /// 3), and only an address in the certificate counts for it.
  private func expect(_ serverName: String) throws(SocketError) {
    let isSet: Bool
    if SocketAddress(host: serverName, port: 0) != nil {
      isSet = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), serverName) == 1
    } else {
      SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
      let sent = serverName.withCString { name in
        SSL_ctrl(
          ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, Int(TLSEXT_NAMETYPE_host_name),
          UnsafeMutableRawPointer(mutating: name))
      }
      isSet = sent == 1 && SSL_set1_host(ssl, serverName) == 1
    }
    // Without it any certificate of a trusted authority would do.
    guard isSet else { throw .tls("'\(serverName)' cannot be checked in a certificate") }
  }

  /// Records wait to be sent.
  var hasOutput: Bool { BIO_ctrl_pending(output) > 0 }

  /// Takes bytes that the peer sent.
  func feed(_ bytes: ByteBuffer) {
    bytes.withUnsafeReadable { raw in
      _ = BIO_write(input, raw.baseAddress, Int32(raw.count))
    }
  }

  /// Goes on with the handshake. - Returns: true when it is done.
  func handshake() throws(SocketError) -> Bool {
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    if result == 1 {
      isEstablished = true
      return true
    }
    switch SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return false
    default: throw .tls(handshakeFault())
    }
  }

  private func handshakeFault() -> String {
    let verdict = SSL_get_verify_result(ssl)
    guard verdict != Int(X509_V_OK), let text = X509_verify_cert_error_string(verdict) else {
      return lastTLSError()
    }
    return "the certificate is refused: \(String(cString: text))"
  }

  /// Appends what can be decrypted. - Returns: the number of bytes, 0 for none yet or the end.
  func read(into buffer: inout ByteBuffer, _ scratch: UnsafeMutableRawBufferPointer) throws(SocketError)
    -> Int
  {
    var total = 0
    while true {
      ERR_clear_error()
      let count = SSL_read(ssl, scratch.baseAddress, Int32(scratch.count))
      if count > 0 {
        buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<Int(count)]))
        total += Int(count)
        continue
      }
      switch SSL_get_error(ssl, count) {
      case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return total
      case SSL_ERROR_ZERO_RETURN:
        peerClosed = true
        return total
      default:
        if total > 0 { return total }
        throw .tls(lastTLSError())
      }
    }
  }

  /// Encrypts bytes; memory BIOs take all of them.
  func write(_ bytes: UnsafeRawBufferPointer) throws(SocketError) {
    var sent = 0
    while sent < bytes.count {
      ERR_clear_error()
      let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
      let count = SSL_write(ssl, rest.baseAddress, Int32(rest.count))
      guard count > 0 else { throw .tls(lastTLSError()) }
      sent += Int(count)
    }
  }

  func takeOutput(into buffer: inout ByteBuffer, _ scratch: UnsafeMutableRawBufferPointer) {
    while true {
      let count = BIO_read(output, scratch.baseAddress, Int32(scratch.count))
      guard count > 0 else { return }
      buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<Int(count)]))
    }
  }

  /// Queues the close alert.
  func shutDown() {
    if isEstablished { SSL_shutdown(ssl) }
  }
}

/// OpenSSL's text for the latest error of this thread.
private func lastTLSError() -> String {
  let code = ERR_get_error()
  guard code != 0, let text = ERR_reason_error_string(code) else { return "protocol error" }
  return String(cString: text)
}
