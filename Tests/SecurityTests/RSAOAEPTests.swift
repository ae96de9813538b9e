import Testing

@testable import Security

@Suite("RSA-OAEP")
struct RSAOAEPTests {
  @Test("opens what it sealed, and nothing that was changed")
  func roundTrip() throws {
    let key = try #require(RSAOAEP(pem: TestKeys.rsaPrivate))
    let plain = (0..<32).map { UInt8($0) }
    let sealed = try #require(key.seal(plain))
    #expect(sealed.count == 256)
    #expect(key.seal(plain) != sealed)
    #expect(key.open(sealed) == plain)
    for place in stride(from: 0, to: sealed.count, by: 17) {
      var changed = sealed
      changed[place] ^= 1
      #expect(key.open(changed) == nil)
    }
    #expect(key.open([]) == nil)
    #expect(key.open(Array(sealed.dropLast())) == nil)
    #expect(key.open(sealed + [0]) == nil)
  }

  @Test("seals at most what fits, also nothing")
  func lengths() throws {
    let key = try #require(RSAOAEP(pem: TestKeys.rsaPrivate))
    let longest = [UInt8](repeating: 7, count: 214)
    #expect(key.seal(longest).flatMap { key.open($0) } == longest)
    #expect(key.seal(longest + [7]) == nil)
    #expect(key.seal([]).flatMap { key.open($0) } == [])
  }

  @Test("a public key only seals")
  func publicKey() throws {
    let key = try #require(RSAOAEP(pem: TestKeys.rsaPrivate))
    let other = try #require(RSAOAEP(pem: TestKeys.rsaPublic))
    #expect(key.isPrivate)
    #expect(!other.isPrivate)
    let sealed = try #require(other.seal([1, 2, 3]))
    #expect(other.open(sealed) == nil)
    #expect(key.open(sealed) == [1, 2, 3])
  }

  @Test("takes RSA keys only")
  func keys() {
    #expect(RSAOAEP(pem: TestKeys.ed25519Private) == nil)
    #expect(RSAOAEP(pem: "") == nil)
    #expect(RSAOAEP(pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") == nil)
  }

  @Test("keeps the keys of PEM texts, and what they opened, apart")
  func kept() throws {
    let keys = PEMKeys()
    let key = try #require(RSAOAEP(pem: TestKeys.rsaPrivate))
    for number in 0..<UInt8(40) {
      let sealed = try #require(key.seal([number]))
      for _ in 0..<2 {
        #expect(keys.open(sealed, pem: TestKeys.rsaPrivate) == [number])
        #expect(keys.open(sealed, pem: TestKeys.rsaPublic) == nil)
        #expect(keys.open(sealed, pem: "") == nil)
        #expect(keys.open(sealed + [0], pem: TestKeys.rsaPrivate) == nil)
      }
    }
  }
}
