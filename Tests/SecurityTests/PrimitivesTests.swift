import Bytes
import Security
import Testing

@Suite struct DigestTests {
  @Test("computes the published values")
  func digests() {
    let abc = Array("abc".utf8)
    #expect(
      Hex.encode(Digest.sha256(abc)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(Hex.encode(Digest.sha1(abc)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(Hex.encode(Digest.md5([])) == "d41d8cd98f00b204e9800998ecf8427e")
    #expect(Digest.sha512([]).count == 64)
    // RFC 4231 test case 2.
    #expect(
      Hex.encode(HMAC.sha256(Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    #expect(HMAC.sha1([], key: []).count == 20)
    #expect(HMAC.sha512([1], key: [2]).count == 64)
  }

  @Test("compares equal and unequal bytes")
  func comparison() {
    #expect(constantTimeEquals([1, 2], [1, 2]))
    #expect(!constantTimeEquals([1, 2], [1, 3]))
    #expect(!constantTimeEquals([1, 2], [1, 2, 3]))
    #expect(constantTimeEquals([UInt8](), []))
    #expect(!constantTimeEquals("a", "b"))
  }

  @Test("makes random bytes of any length")
  func random() {
    #expect(SecureRandom.bytes(0).isEmpty)
    #expect(SecureRandom.bytes(33).count == 33)
    #expect(SecureRandom.bytes(16) != SecureRandom.bytes(16))
    #expect(SecureRandom.token().utf8.count == 32)
  }
}

@Suite struct KeyRingTests {
  private let one = [UInt8](repeating: 1, count: 32)
  private let two = [UInt8](repeating: 2, count: 32)

  private func ring(_ keys: [[UInt8]]) throws -> KeyRing {
    try #require(KeyRing(configuration: keys.map { Hex.encode($0) }.joined(separator: ", ")))
  }

  @Test("encrypts as the published test vector")
  func vector() {
    // The GCM specification, test case 14.
    let sealed = AESGCM.seal(
      [UInt8](repeating: 0, count: 16), key: [UInt8](repeating: 0, count: 32),
      nonce: [UInt8](repeating: 0, count: 12), authenticating: [])
    #expect(Hex.encode(sealed) == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
  }

  @Test("opens what it sealed, also when the key is an older one", arguments: [0, 1, 15, 16, 1_000])
  func rotation(count: Int) throws {
    let plain = [UInt8](repeating: 7, count: count)
    let blob = try ring([one]).seal(plain, context: [9])
    let rotated = try ring([two, one])
    #expect(try rotated.open(blob, context: [9]) == plain)
    #expect(rotated.needsResealing(blob))
    let fresh = rotated.seal(plain, context: [9])
    #expect(!rotated.needsResealing(fresh))
    #expect(throws: KeyRing.OpenError.self) { try ring([one]).open(fresh, context: [9]) }
  }

  @Test("refuses any changed byte, another context and a cut blob")
  func tampering() throws {
    let ring = try ring([one])
    let blob = ring.seal([1, 2, 3], context: [9])
    #expect(throws: KeyRing.OpenError.notAuthentic) { try ring.open(blob, context: [8]) }
    for index in blob.indices {
      var changed = blob
      changed[index] ^= 1
      #expect(throws: KeyRing.OpenError.self) { try ring.open(changed, context: [9]) }
      #expect(throws: KeyRing.OpenError.self) { try ring.open(Array(blob[..<index]), context: [9]) }
    }
  }

  @Test("reads keys in hex and base64 and refuses others")
  func configuration() {
    #expect(KeyRing(configuration: Base64.encode(one)) != nil)
    #expect(KeyRing(configuration: Base64.encode(one, .url) + "," + Hex.encode(two)) != nil)
    #expect(KeyRing(configuration: "") == nil)
    #expect(KeyRing(configuration: "abcd") == nil)
    #expect(KeyRing(configuration: Hex.encode(one) + ",short") == nil)
  }
}

@Suite struct Ed25519Tests {
  @Test("signs as RFC 8032, test 2")
  func vector() throws {
    let seed = try #require(
      Hex.decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    let publicBytes = try #require(
      Hex.decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))
    let key = try #require(Ed25519.PrivateKey(seed: seed))
    let signature = key.sign([0x72])
    #expect(
      Hex.encode(signature)
        == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    let verifier = try #require(Ed25519.PublicKey(publicBytes))
    #expect(verifier.verifies(signature, of: [0x72]))
    #expect(!verifier.verifies(signature, of: [0x73]))
    #expect(!verifier.verifies([], of: [0x72]))
    #expect(Ed25519.PublicKey([1]) == nil)
    #expect(Ed25519.PrivateKey(seed: [1]) == nil)
  }
}

@Suite struct StandardWebhooksTests {
  private let body = Array("{}".utf8)

  @Test("accepts any of several secrets and signatures, within five minutes")
  func verifies() throws {
    let old = try #require(StandardWebhooks.Secret(StandardWebhooks.Secret.generate()))
    let new = try #require(StandardWebhooks.Secret(StandardWebhooks.Secret.generate()))
    let entry = try #require(StandardWebhooks.sign(id: "a", timestamp: 1_000, body: body, secret: old))
    let header = "v1,AAAA v9,x nocomma \(entry)"
    for now in [700, 1_000, 1_300] as [Int64] {
      try StandardWebhooks.verify(
        id: "a", timestamp: "1000", signatures: header, body: body, secrets: [new, old], now: now)
    }
    func refusal(
      id: String? = "a", timestamp: String? = "1000", signatures: String? = entry, now: Int64 = 1_000
    ) -> StandardWebhooks.Refusal? {
      do throws(StandardWebhooks.Refusal) {
        try StandardWebhooks.verify(
          id: id, timestamp: timestamp, signatures: signatures, body: body, secrets: [old], now: now)
        return nil
      } catch {
        return error
      }
    }
    #expect(refusal() == nil)
    #expect(refusal(id: nil) == .headerMissing("webhook-id"))
    #expect(refusal(id: "b") == .noSignatureMatches)
    #expect(refusal(timestamp: "1e3") == .timestampMalformed)
    #expect(refusal(timestamp: "99999999999999999999") == .timestampMalformed)
    #expect(refusal(now: 1_301) == .timestampTooOld)
    #expect(refusal(now: 699) == .timestampTooNew)
    #expect(refusal(signatures: "") == .noSignatureMatches)
  }

  @Test(
    "refuses secrets that are none",
    arguments: ["", "whsec_", "whsec_AAAA", "whpk_AAAA", "whsk_AAAA", "not base64 at all!"])
  func secrets(text: String) {
    #expect(StandardWebhooks.Secret(text) == nil)
  }
}
