/// A private key for platforms that sign with keys of their own. It guards nothing.
enum BenchKey {
  static let pem = """
    -----BEGIN PRIVATE KEY-----
    MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQDUpuwthNh3agKg
    azFq2xqBlrJCdz4KTMIQsgUOQxtg9+aGmRgDAZ9hz3OwG4IRP8Bq95gHMz+BGbr/
    LfDVN29odXkekDEyA8E5fYwbGPmWeAV8lChHJY3XNY5od+yxMXMS4dgqQiOiIJO4
    +mi42DAs9RmYGvY4gFEcUk/peMJN4Qb11gd1e6v2P0abi33PP7Uog/YoP6L+7qTA
    shDhtcePXEBEcWDBI2NACf7My3euQ0TiN+zBi+0XdDdzRIF4BosZMa4/XP/pCD8n
    ZgVVutQWVSuzuRIw9yUZieeMF7YDNVjUWZ7CUnTqB9k2PyaURi3uL1iAi3NrbyAW
    LUa4OAApAgMBAAECggEAJbhqQnTDFQOH7b616FdvLzd07VdLePY+okmBnhMHQz8V
    9CAp4zahd+8dfUqT2s1tK0w5+mT7ycGvqt4STy/jIitcTbCUGWQTHUiI1rGqbCdk
    CcIaFuyxaVBFr4A+SvwThnDrMCvFOFgA/BnnA4rNmNvtK071B/ay7IwpQqe6B6gl
    B1oHGcrPX0VfgsiytzSfiUiMebnUCffnTTphZHQwIQV5U4tWqUENdHazAlSg8A97
    vmcMMSynRuVTEtrtESMILdaV4G8d92dYlzG4LUxdCxuAbYuL7LPTPAjcq/Pweycc
    qpedSRV6D3SsjbCgRh66ln2QALYzJvcHp6pPIt0s9QKBgQDyVwfM2veyjG+/c6BS
    YHQImvKYKSwXxj8KaYwSaqe5sQLMOjFL4JQyHCGRnQFB58xkkfiLB2WkzW4EgqQb
    vf1xtuk6NWv1lnARPfSeaFEU6QnEj7Fr8kN8Bzykwf0Z+l0Abk/p+Y/0BuWLbP8K
    4ETqdkS82pzzOGNgDf6bsG79bwKBgQDgo36zBWjtoUnXFy18yEiV8GBf5/25x4TJ
    gfF1hFfV3P4qnrRlBbzqPd4tFNfyEONFN/DAexVWgMGljtQ82niWSvIGb/ejUQvK
    2OXjPQfrc6nMG7p0I/kjwaKI3bCLXLvlwto1X9rEmtfe90V7dU9FKMSQ5Uh2LQ1S
    cAlYk/0/5wKBgQCy1azI7RH7bg2NIBvAjrMyIn5B8ag7Ry4AVhFrCdAKhWkGIy97
    yhgyvnW7SjzCUPeRg/MBTg0hSAQXSf0nB9Z/UzbboM6xpjm/T5Q0TdD/+FUf+9Y3
    TcmlPoXvI8TOpeZ5ye4pQOSNdYVxlZbEhOn2iB6Dq2RFTGhxWwJ4DARr+wKBgQC2
    4EMgKLJQajK72VGduUtmTWeYDDxBxwzyI0hYPGJpZ9y/A66mY3J1W+KI3uQiW985
    lZ34hPtNDcsYJdvgopby+5Zm6TY4DZ3FCKi2QxQ0eVftI1G6hSKpGlVgiOHVwqvx
    E50jQKLP1aMSEEnPhSQAkHzd3NsN4gVrbGwfYXMVVwKBgQDv56fcQA8LGqDtM9jI
    UJ5oXie9l9rpFjJuq7Ybupch+ERk+LtGBFEOpP9ltQvy90CDR2ccQ2/kftB1+sx6
    H8M+rW7F79dc8TG5K0IyviFpaLCqSJCv/zHJbldbHZItm67VPQYmcnJH5K3YZuxc
    Lx9KOk7+6tbjHJPpWxAnaAzIeA==
    -----END PRIVATE KEY-----
    """
}
