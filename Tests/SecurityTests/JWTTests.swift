import Bytes
import JSON
import Testing

@testable import Security

@Suite struct JWTTests {
  private let secret = [UInt8](repeating: 42, count: 32)
  private let now: Int64 = 1_795_219_200

  private func claims(_ change: (inout JWTClaims) -> Void = { _ in }) -> JWTClaims {
    var claims = JWTClaims(
      subject: "u1", email: "a@b.c", roles: ["admin"], issuedAt: now, expires: now + 60)
    change(&claims)
    return claims
  }

  private func refusal(
    _ token: String, _ keys: [JWTKey], _ configuration: JWTVerifier.Configuration = .init()
  ) throws -> JWTError? {
    let verifier = try JWTVerifier(keys: keys, configuration: configuration)
    do throws(JWTError) {
      _ = try verifier.verify(token, now: now)
      return nil
    } catch {
      return error
    }
  }

  @Test("takes what it signed, by every algorithm, from PEM and from a key set")
  func roundTrips() throws {
    let hmac = try JWTKey(secret: secret, id: "h")
    let privates = try [
      hmac, JWTKey(pem: TestKeys.rsaPrivate, id: "r"), JWTKey(pem: TestKeys.p256Private, id: "p"),
      JWTKey(pem: TestKeys.ed25519Private, id: "e"),
    ]
    let pemList = "\(TestKeys.rsaPublic)\nkid: p\n\(TestKeys.p256Public)\nkid: e\n\(TestKeys.ed25519Public)\n"
    let fromPEM = try JWTVerifier(keys: [hmac] + JWTKey.keys(pemList: pemList))
    let fromSet = try JWTVerifier(keys: [hmac] + JWTKey.keys(jwks: Array(TestKeys.jwks.utf8)))
    #expect(privates.map(\.algorithm) == [.hs256, .rs256, .es256, .edDSA])
    for key in privates {
      for _ in 0..<5 {
        let token = try JWTSigner(key: key).sign(claims())
        #expect(try fromPEM.verify(token, now: now) == claims())
        #expect(try fromSet.verify(token, now: now) == claims())
        #expect(throws: JWTError.expired) { try fromSet.verify(token, now: now + 60) }
      }
    }
    #expect(throws: JWTError.cannotSign) {
      try JWTSigner(key: JWTKey(pem: TestKeys.rsaPublic)).sign(claims())
    }
  }

  @Test("takes the token of RFC 7515 section A.1")
  func vector() throws {
    let key = try #require(
      Base64.decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow", .url))
    let token =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
      + "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
      + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    // It has no subject: the signature is right, the claim is missing.
    #expect(try refusal(token, [JWTKey(secret: key)]) == .claimMissing("sub"))
  }

  @Test("refuses none, key confusion, critical extensions and foreign types")
  func headers() throws {
    let hmac = try JWTKey(secret: secret)
    let signer = JWTSigner(key: hmac)
    let payload: JSONValue = ["sub": "u", "exp": .integer(now + 9)]
    for name in ["none", "None", "NONE", "nOnE", "HS512", "", "hs256"] {
      let token = try signer.sign(header: ["alg": .string(name)], payload: payload)
      #expect(try refusal(token, [hmac]) == .algorithmRefused)
    }
    let unsigned = try signer.sign(header: ["alg": "none"], payload: payload)
    let stripped = unsigned.split(separator: ".").prefix(2).joined(separator: ".") + "."
    #expect(try refusal(stripped, [hmac]) == .algorithmRefused)
    // The public key's text used as an HMAC secret.
    let publicKey = try JWTKey(pem: TestKeys.rsaPublic, id: "r")
    let content =
      Base64.encode(Array(#"{"alg":"HS256","kid":"r"}"#.utf8), .url) + "."
      + Base64.encode(payload.encoded(), .url)
    let forged = HMAC.sha256(Array(content.utf8), key: Array(TestKeys.rsaPublic.utf8))
    #expect(try refusal(content + "." + Base64.encode(forged, .url), [publicKey]) == .algorithmRefused)
    #expect(throws: JWTKey.Fault.secretIsPEM) { try JWTKey(secret: Array(TestKeys.rsaPublic.utf8)) }
    let wrong: [(JSONValue, JWTError)] = [
      (["alg": "HS256", "crit": ["b64"]], .criticalExtension),
      (["alg": "HS256", "typ": "secevent+jwt"], .typeRefused),
      (["alg": "HS256", "kid": 7], .malformed), ("text", .malformed),
    ]
    for (header, error) in wrong {
      #expect(try refusal(signer.sign(header: header, payload: payload), [hmac]) == error)
    }
    let named = try JWTKey(secret: secret, id: "h")
    let other = try signer.sign(header: ["alg": "HS256", "kid": "../../etc/passwd"], payload: payload)
    #expect(try refusal(other, [named]) == .keyUnknown)
  }

  @Test("refuses every changed character and every cut")
  func tampering() throws {
    let hmac = try JWTKey(secret: secret)
    let token = Array(try JWTSigner(key: hmac).sign(claims()).utf8)
    for index in token.indices {
      var changed = token
      changed[index] = token[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      #expect(try refusal(String(decoding: changed, as: UTF8.self), [hmac]) != nil)
      #expect(try refusal(String(decoding: token[..<index], as: UTF8.self), [hmac]) != nil)
    }
    let text = String(decoding: token, as: UTF8.self)
    for spelling in [text + "=", text + ".", " " + text, text + "\n", text + "AA"] {
      #expect(try refusal(spelling, [hmac]) != nil)
    }
    let limit = 8_192
    #expect(try refusal(String(repeating: "a", count: limit + 1), [hmac]) == .tooLong(limitBytes: limit))
  }

  @Test("checks each claim")
  func claimChecks() throws {
    let hmac = try JWTKey(secret: secret)
    let signer = JWTSigner(key: hmac)
    let good: [String: JSONValue] = ["sub": "u", "exp": .integer(now + 9)]
    func refusal(with changes: [String: JSONValue]) throws -> JWTError? {
      let payload = good.merging(changes) { _, new in new }
      let token = try signer.sign(header: ["alg": "HS256"], payload: .object(payload))
      return try self.refusal(token, [hmac], .init(issuer: "me", audience: "hub"))
    }
    let mine: [String: JSONValue] = ["iss": "me", "aud": ["x", "hub"]]
    func more(_ changes: [String: JSONValue]) -> [String: JSONValue] { mine.merging(changes) { $1 } }
    #expect(try refusal(with: mine) == nil)
    #expect(try refusal(with: more(["aud": "hub", "exp": .number(Double(now) + 0.5)])) == .expired)
    #expect(try refusal(with: more(["exp": .number(1e300)])) == nil)
    #expect(try refusal(with: more(["exp": .integer(.max)])) == nil)
    #expect(try refusal(with: more(["exp": "soon"])) == .claimMalformed("exp"))
    #expect(try refusal(with: more(["exp": nil])) == .claimMissing("exp"))
    #expect(try refusal(with: more(["exp": .integer(now)])) == .expired)
    #expect(try refusal(with: more(["nbf": .integer(now + 60)])) == nil)
    #expect(try refusal(with: more(["nbf": .integer(now + 61)])) == .notYetValid)
    #expect(try refusal(with: more(["iat": .integer(now + 61)])) == .issuedInFuture)
    #expect(try refusal(with: more(["iss": "you"])) == .wrongIssuer)
    #expect(try refusal(with: ["iss": "me"]) == .wrongAudience)
    #expect(try refusal(with: more(["sub": ""])) == .claimMissing("sub"))
    #expect(try refusal(with: more(["sub": 7])) == .claimMalformed("sub"))
    #expect(try refusal(with: more(["roles": ["a", 1]])) == .claimMalformed("roles"))
  }

  @Test("refuses weak and unreadable keys")
  func keys() {
    #expect(throws: JWTKey.Fault.secretTooShort(bytes: 31)) {
      try JWTKey(secret: [UInt8](repeating: 1, count: 31))
    }
    #expect(throws: Never.self) { try JWTKey(secret: [1], allowsShort: true) }
    #expect(throws: JWTKey.Fault.self) { try JWTKey(secret: [], allowsShort: true) }
    #expect(throws: JWTKey.Fault.rsaTooShort(bits: 1_024)) { try JWTKey(pem: TestKeys.weakRSAPublic) }
    #expect(throws: JWTKey.Fault.pemUnreadable) { try JWTKey(pem: "garbage") }
    #expect(throws: JWTKey.Fault.noKeys) { try JWTKey.keys(pemList: "") }
    #expect(throws: JWTKey.Fault.noKeys) { try JWTKey.keys(jwks: Array(#"{"keys":[]}"#.utf8)) }
    #expect(throws: JWTKey.Fault.self) { try JWTKey.keys(jwks: Array("[]".utf8)) }
    #expect(throws: JWTKey.Fault.self) {
      try JWTKey.keys(jwks: Array(#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#.utf8))
    }
    #expect(throws: JWTKey.Fault.noKeys) { try JWTVerifier(keys: []) }
  }
}
