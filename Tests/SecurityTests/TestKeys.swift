/// Keys for tests only, made for this file.
enum TestKeys {
  static let rsaPrivate = """
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
  static let rsaPublic = """
    -----BEGIN PUBLIC KEY-----
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4+mKjFfzebLN5Xc9Qcp
    Jdg4VDX2+zwitJHDbqCgZuEniQFOsnSwGFSxjIC2KO57B9185vPR2J5I8YTcvJ8k
    kWE6XS9fhGEW3ViV4V8l2AKP9+Iu7OzGPbDOTFs71Fx5pLp/zcA1N46hvuahJ4LI
    3h9DyOZdj1OQX3CAG3OlL8WXI10oWtneHUawbd5msuxeDpPj2DQn6dEZ5w7yMax7
    tYfDFcnXRgYla08YMQp0BPxyX+2k29BJoHemtGEYttR8GHfPm9HWxFbkOFzihTJJ
    M9Rki7JEk12Akp4oJWS2BtHvYOJxF8buUK7xvV/Zvnae0pyblLfJHDaxky5NbbdI
    TQIDAQAB
    -----END PUBLIC KEY-----
    """
  static let p256Private = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg8r2O1EIOJ94ZnWCN
    X0mobelMa+CoNCfyb9/FfdwqJ5mhRANCAARzlnpz6NrpfCVbjWQ1YAQ3cShsQw6M
    swt1qVnTfpZOhi822jLl00DaacIzonM8X9afvNYJIuQhDFEDd+hIWOSj
    -----END PRIVATE KEY-----
    """
  static let p256Public = """
    -----BEGIN PUBLIC KEY-----
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc5Z6c+ja6XwlW41kNWAEN3EobEMO
    jLMLdalZ036WToYvNtoy5dNA2mnCM6JzPF/Wn7zWCSLkIQxRA3foSFjkow==
    -----END PUBLIC KEY-----
    """
  static let ed25519Private = """
    -----BEGIN PRIVATE KEY-----
    MC4CAQAwBQYDK2VwBCIEIO7KQSWu7MsM03kl3qt5gIcXLNHYBbPNE9YV6AJXas7+
    -----END PRIVATE KEY-----
    """
  static let ed25519Public = """
    -----BEGIN PUBLIC KEY-----
    MCowBQYDK2VwAyEAlg/uux/nNlEiWtmixWYQ/dPJupYJRRsmq1B04aA6KZ0=
    -----END PUBLIC KEY-----
    """
  static let weakRSAPublic = """
    -----BEGIN PUBLIC KEY-----
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDKcUEKQAN4kAq6u/+LoQB1vQqY
    e1AurMntlAWKdwhw8EPm1xCjoQ86ZSDUCQdkLe2oywH4UT9/epBCXRpI39sK+Csq
    a/H++DAsRIR3yfhl7yH4j2DlgWu/Q+pBRAnQOU7sQZJxTeLyR6Q7CxHbbU01JCdR
    p6wKr4WWFizbcP8twQIDAQAB
    -----END PUBLIC KEY-----
    """
  static let jwks = """
    {"keys":[{"kty":"RSA","kid":"r","use":"sig","alg":"RS256","e":"AQAB","n":"r4-mKjFfzebLN5Xc9QcpJdg4VDX2-zwitJHDbqCgZuEniQFOsnSwGFSxjIC2\
    KO57B9185vPR2J5I8YTcvJ8kkWE6XS9fhGEW3ViV4V8l2AKP9-Iu7OzGPbDOTFs71Fx5pLp_zcA1N46hvuahJ4LI3h\
    9DyOZdj1OQX3CAG3OlL8WXI10oWtneHUawbd5msuxeDpPj2DQn6dEZ5w7yMax7tYfDFcnXRgYla08YMQp0BPxyX-2k\
    29BJoHemtGEYttR8GHfPm9HWxFbkOFzihTJJM9Rki7JEk12Akp4oJWS2BtHvYOJxF8buUK7xvV_Zvnae0pyblLfJHD\
    axky5NbbdITQ"},
    {"kty":"EC","kid":"p","crv":"P-256","x":"c5Z6c-ja6XwlW41kNWAEN3EobEMOjLMLdalZ036WToY",
    "y":"LzbaMuXTQNppwjOiczxf1p-81gki5CEMUQN36EhY5KM"},
    {"kty":"OKP","kid":"e","crv":"Ed25519","x":"lg_uux_nNlEiWtmixWYQ_dPJupYJRRsmq1B04aA6KZ0"},
    {"kty":"EC","kid":"other","crv":"P-521","x":"AA","y":"AA"},{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}]}
    """

  /// Of `rsaPublic`.
  static let rsaCertificate = """
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
}
