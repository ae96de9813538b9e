import Bytes
import JSON
import Security

/// JSON Web Tokens.
enum JWTFuzz {
  private static let secret = [UInt8](repeating: 42, count: 32)
  private static let now: Int64 = 1_795_219_200

  /// The input is a token of somebody who has no key. Its first two lines are also header and claims of
  /// somebody who has.
  static func token(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    guard let key = try? JWTKey(secret: secret, id: "h"), let other = try? JWTKey(secret: secret),
      let verifier = try? JWTVerifier(keys: [key, other])
    else { throw FuzzFinding("no keys") }
    let foreign = String(decoding: input, as: UTF8.self)
    try expect((try? verifier.verify(foreign, now: now)) == nil, "forged: \(foreign)")
    let lines = input.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
    guard lines.count == 2 else { return }
    let token = signed(Array(lines[0]), Array(lines[1]))
    guard let claims = try? verifier.verify(token, now: now) else { return }
    try expect(!claims.subject.isEmpty && claims.expires > now, "\(claims)")
    let header = try? JSONValue(parsing: lines[0])
    try expect(header?["alg"]?.string == "HS256", "another algorithm: \(String(describing: header))")
    guard let again = try? JWTSigner(key: key).sign(claims) else {
      throw FuzzFinding("not signed: \(claims)")
    }
    try expect((try? verifier.verify(again, now: now)) == claims, "signed again, others than \(claims)")
    try expectRefusedWhenChanged(token, verifier)
  }

  private static func signed(_ header: [UInt8], _ claims: [UInt8]) -> String {
    let content = Base64.encode(header, .url) + "." + Base64.encode(claims, .url)
    return content + "." + Base64.encode(HMAC.sha256(Array(content.utf8), key: secret), .url)
  }

  private static func expectRefusedWhenChanged(
    _ token: String, _ verifier: JWTVerifier
  ) throws(FuzzFinding) {
    var places = Places(of: Array(token.utf8))
    for _ in 0..<4 {
      let index = places.next(below: token.utf8.count)
      var changed = Array(token.utf8)
      changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      for text in [changed, Array(changed[..<index])] {
        let text = String(decoding: text, as: UTF8.self)
        try expect((try? verifier.verify(text, now: now)) == nil, "forged: \(text)")
      }
    }
  }
}
