import Bytes
import Foundation
import JSON
import Platforms
import Security

/// A private key of the tests, and tokens that it signs.
enum TokenFixture {
  static let now = Timestamp(seconds: 1_795_219_200)
  static let keyID = "platform-1"

  static let pem = """
    -----BEGIN PRIVATE KEY-----
    MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCvj6YqMV/N5ss3
    ldz1Bykl2DhUNfb7PCK0kcNuoKBm4SeJAU6ydLAYVLGMgLYo7nsH3Xzm89HYnkjx
    hNy8nySRYTpdL1+EYRbdWJXhXyXYAo/34i7s7MY9sM5MWzvUXHmkun/NwDU3jqG+
    5qEngsjeH0PI5l2PU5BfcIAbc6UvxZcjXSha2d4dRrBt3may7F4Ok+PYNCfp0Rnn
    DvIxrHu1h8MVyddGBiVrTxgxCnQE/HJf7aTb0Emgd6a0YRi21HwYd8+b0dbEVuQ4
    XOKFMkkz1GSLskSTXYCSniglZLYG0e9g4nEXxu5QrvG9X9m+dp7SnJuUt8kcNrGT
    Lk1tt0hNAgMBAAECggEABjDTlDNPhIw56EjhlMZe3hXEzrtkbTGOq71kHdeOMHKK
    GVuxcbuJpiH+bMzxH3phXkKiL+azJKdYPSQJQKGAAZxjGXwdKybdTorcJilbxUU5
    3GzeaL5kszIz5B9nebKVG4j0DsZTWhUugPPTBPioqqSBmGj/LZmtwp/N9KncTlXj
    ZE0Anj1zDe98/zThqeAlczrpKdZAh0Hm+Y/SYA2A/HMBgY1T2FRQRGeivsBRr3p2
    rbuwvTph50UU/eL1/5mYeHG0Lyv4ZuETwH0bTSQskBqKpz2g/NOlH3AN1pmIGyu8
    1pP8myIsI7lI2Crz6Aqmjap/pvDp0kMOATAXRc+0JQKBgQDjj992RbtwtrQhm70M
    jvsYxwG1Ehq6pORqyqjv01HMpUlGFxiuEwTwZv/c9khfeGtfi5tZstzUbllsbZbG
    H/4Vb9QiGhWjT7BhRQvTJjwivic7oT9gm8dyHVgpn8Hd667vMb0jip988CM8DvoH
    GmLwGNcTk6+ooKIBkg7MgmuD6wKBgQDFgCwsrt3QKz98BeAeyso97T/xw9Z6gXh0
    rmv/gJjS9ai52+1g2JhZKRjvardlxO8264sRkPRwsUn0YZpetleqx9vFVktec+7H
    A529QnCWwRowXKBIY6HN3gvq9AmQlB6t9FgEbUaKUBqoHdwC1BdiCNvfW0AYJ7z6
    3HIzf6AupwKBgHR3gEFCM0re15aT5M/2peDqiZ8o4vE/z4AwtQH5v9XjinsK+yCs
    r0xzCuUGT8g9E4dVJm9kMc2vpKjv9cj1Os+x6nqBqy1obbd65TBuUzzc4auNPaiu
    Uge/qQ20rD5uj5vwcwMrwbDqHr5wU9sq0BReQkXMwoylmgT/wf89iNV9AoGASaeg
    UdWxIWZPmbgzOiiUvf2R4F8RyMQqIRG/cx0JYXt+Pjo3z+tW/cFm7DrXRJvqPogf
    aCCwGKr1kq8nu/Sywx0f5/tjxkjkHtJJbICvrnk7hBe3KugFOtp5hVkXjBTBUEyU
    2qnKKeDv4AyqtV9VjRkSrrzALYH8Z235JR2OpncCgYAIjltaPYTcTwixbpQOuNQv
    IL6qSWgwTruJZOcxLwNDC75aPE3bhveB/xQgsEvVBr0D3Crgr6l9InbkXZgJ2rmh
    /bfaChnyKKWsITaYdR45T8HDc+ZpahT8/gAQ25mzEx4i6PjyKeYz6DGNiAhrLAXn
    cffyOrFVgNxcIHKIOmN+oA==
    -----END PRIVATE KEY-----
    """

  /// Two private keys on the curve P-256.
  static let p256 = [
    """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCB1LopF8JUzpfezt
    o1kkUz9GeO+/QXDpsheoSBWY3nahRANCAAStXR0MjfMLK3dDFPHxyO5mZbL0TEUu
    JSmh6Gga9sRjFDQ6IrXqqclTUyk5Lowsl7yrRsx2DGUt5Rya+ezW5D0k
    -----END PRIVATE KEY-----
    """,
    """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3eonDKw55GT0L1G9
    GfVVAlBaP9D0LY36nchOKmhrq46hRANCAASDvgLSYf936c8BxUsq4qo6HtzmBElL
    Uq+RMTybzlpSk6mFzMEDPk8iXKxKZ3+jMO0UGBm9KhbSvEyCKGpaIgNZ
    -----END PRIVATE KEY-----
    """,
  ]

  static let certificate = """
    -----BEGIN CERTIFICATE-----
    MIIDATCCAemgAwIBAgIUUrXAiXNCF7MqE0LtucLn+T1LRFAwDQYJKoZIhvcNAQEL
    BQAwDzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxMjM0NDJaGA8yMTI2MTAzMTEy
    MzQ0MlowDzENMAsGA1UEAwwEdGVzdDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCC
    AQoCggEBAK+PpioxX83myzeV3PUHKSXYOFQ19vs8IrSRw26goGbhJ4kBTrJ0sBhU
    sYyAtijuewfdfObz0dieSPGE3LyfJJFhOl0vX4RhFt1YleFfJdgCj/fiLuzsxj2w
    zkxbO9RceaS6f83ANTeOob7moSeCyN4fQ8jmXY9TkF9wgBtzpS/FlyNdKFrZ3h1G
    sG3eZrLsXg6T49g0J+nRGecO8jGse7WHwxXJ10YGJWtPGDEKdAT8cl/tpNvQSaB3
    prRhGLbUfBh3z5vR1sRW5Dhc4oUySTPUZIuyRJNdgJKeKCVktgbR72DicRfG7lCu
    8b1f2b52ntKcm5S3yRw2sZMuTW23SE0CAwEAAaNTMFEwHQYDVR0OBBYEFByLwvqQ
    UlZnYBfAgnmp8TBF25/dMB8GA1UdIwQYMBaAFByLwvqQUlZnYBfAgnmp8TBF25/d
    MA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAHR9Z5q5dbmUbeJd
    t0j6mp2Ld9R/IPInXIhv5iv/z10TuoN2bd+0YUrBYmhioUFgSbD34/l9700CSfpJ
    23B03C8ySFco6FstFxHA5nFBurkXDfCY5VeGVQsilK0e2LoPwc28M+74B53K9PP8
    QSMqIshS+ANjRrJCz1fbVvWn0r/gFP0Ema6MTHKyEVXOFsINtjwHgz+WJitDM0Ws
    XYFN/fdgPtuU5ga9wpWiRinhpa0+ixsjRjyUAp0D+1K4rRhXpd/+9paId4APGcF3
    lPqivj6g/T6T/hNqWkSFTTysdi1d50NEOeFyyVywl6eB/UZBnqbEp4pS9DtUUMKp
    wkEMB0E=
    -----END CERTIFICATE-----
    """

  /// The public half, as `{"keys": [...]}` with more members.
  static func keySet(_ more: [String: JSONValue] = [:], id: String = keyID) throws -> [JWTKey] {
    let key: [String: JSONValue] = [
      "kty": "RSA", "kid": .string(id), "e": "AQAB", "n": .string(modulus),
    ]
    let set: JSONValue = ["keys": [.object(key.merging(more) { $1 })]]
    return try JWTKey.keys(jwks: set.encoded())
  }

  static func bearer(_ claims: [String: JSONValue], id: String? = keyID) throws -> WebhookHeader {
    let token = try JWTSigner(key: JWTKey(pem: pem, id: id)).sign(claims)
    return WebhookHeader("Authorization", "Bearer \(token)")
  }

  static func isAccepted(_ verdict: WebhookVerdict) -> Bool {
    if case .accepted = verdict { return true }
    return false
  }

  private static let modulus =
    "r4-mKjFfzebLN5Xc9QcpJdg4VDX2-zwitJHDbqCgZuEniQFOsnSwGFSxjIC2KO57B9185vPR2J5I8YTcvJ8kkW"
    + "E6XS9fhGEW3ViV4V8l2AKP9-Iu7OzGPbDOTFs71Fx5pLp_zcA1N46hvuahJ4LI3h9DyOZdj1OQX3CAG3OlL8WX"
    + "I10oWtneHUawbd5msuxeDpPj2DQn6dEZ5w7yMax7tYfDFcnXRgYla08YMQp0BPxyX-2k29BJoHemtGEYttR8GH"
    + "fPm9HWxFbkOFzihTJJM9Rki7JEk12Akp4oJWS2BtHvYOJxF8buUK7xvV_Zvnae0pyblLfJHDaxky5NbbdITQ"
}
