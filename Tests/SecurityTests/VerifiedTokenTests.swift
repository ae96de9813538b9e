import JSON
import Testing

@testable import Security

@Suite("Tokens of others")
struct VerifiedTokenTests {
  private let now: Int64 = 1_795_219_200

  private func token(_ claims: [String: JSONValue]) throws -> String {
    try JWTSigner(key: JWTKey(pem: TestKeys.rsaPrivate, id: "r")).sign(claims)
  }

  private func keys(id: String = "r") throws -> [JWTKey] { [try JWTKey(pem: TestKeys.rsaPublic, id: id)] }

  @Test("gives all claims, with no demand but a good signature")
  func claims() throws {
    let text = try token(["iss": "them", "aud": "me", "email_verified": true])
    let verified = try VerifiedToken(text, keys: keys())
    #expect(verified.claims["email_verified"] == true)
    #expect(try verified.text("iss") == "them")
    #expect(try verified.audience() == ["me"])
    #expect(try verified.text("sub") == nil)
    #expect(verified.key.id == "r")
    #expect(throws: JWTError.claimMalformed("email_verified")) { try verified.text("email_verified") }
  }

  @Test("tells an unknown key from a bad signature")
  func unknownKey() throws {
    let text = try token([:])
    #expect(throws: JWTError.keyUnknown) { try VerifiedToken(text, keys: keys(id: "other")) }
    #expect(throws: JWTError.keyUnknown) { try VerifiedToken(text, keys: []) }
    let wrong = try [JWTKey(pem: TestKeys.p256Public, id: "r")]
    #expect(throws: JWTError.algorithmRefused) { try VerifiedToken(text, keys: wrong) }
    let changed = text.dropLast(2) + "AA"
    #expect(throws: JWTError.self) { try VerifiedToken(changed, keys: keys()) }
    #expect(throws: JWTError.tooLong(limitBytes: 10)) { try VerifiedToken(text, keys: keys(), bytesMax: 10) }
  }

  @Test("holds the times with their leeways")
  func times() throws {
    func fault(_ claims: [String: JSONValue], leeway: Int64 = 300) throws -> JWTError? {
      let verified = try VerifiedToken(try token(claims), keys: keys())
      do throws(JWTError) {
        try verified.checkTimes(now: now, expiryLeeway: leeway, leeway: leeway)
        return nil
      } catch {
        return error
      }
    }
    #expect(try fault([:]) == .claimMissing("exp"))
    #expect(try fault(["exp": .integer(now - 299)]) == nil)
    #expect(try fault(["exp": .integer(now - 300)]) == .expired)
    #expect(try fault(["exp": .integer(now)], leeway: 0) == .expired)
    #expect(try fault(["exp": .integer(.max), "nbf": .integer(now + 300)]) == nil)
    #expect(try fault(["exp": .integer(.max), "nbf": .integer(now + 301)]) == .notYetValid)
    #expect(try fault(["exp": .integer(.max), "iat": .integer(now + 301)]) == .issuedInFuture)
    #expect(try fault(["exp": "later"]) == .claimMalformed("exp"))
  }

  @Test("reads the keys of certificates")
  func certificates() throws {
    let document = JSONValue.object(["r": .string(TestKeys.rsaCertificate)])
    let keys = try JWTKey.keys(certificates: document.encoded())
    #expect(keys.map(\.id) == ["r"])
    #expect(try VerifiedToken(try token(["a": 1]), keys: keys).claims["a"] == 1)
    for text in ["[]", "{}", #"{"r":1}"#, #"{"r":"-----BEGIN CERTIFICATE-----"}"#, "x"] {
      #expect(throws: JWTKey.Fault.self) { try JWTKey.keys(certificates: Array(text.utf8)) }
    }
  }

  @Test("keeps what a key set endorses a key for")
  func endorsements() throws {
    let plain = try #require(try JSONValue(parsing: TestKeys.jwks.utf8)["keys"]?.array?.first?.object)
    let endorsed = plain.merging(["endorsements": ["msteams", 7, "webchat"]]) { $1 }
    let set: JSONValue = ["keys": [.object(plain), .object(endorsed)]]
    #expect(try JWTKey.keys(jwks: set.encoded()).map(\.endorsements) == [[], ["msteams", "webchat"]])
  }
}
