import Bytes
import Testing

@Suite struct TimestampTests {
  @Test(
    "writes UTC with milliseconds",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
      (1_795_219_197_000_000, "2026-11-20T23:59:57.000Z"), (951_782_400_123_456, "2000-02-29T00:00:00.123Z"),
      (4_107_542_399_999_000, "2100-02-28T23:59:59.999Z"), (Int64.max, "9999-12-31T23:59:59.999Z"),
      (Int64.min, "0001-01-01T00:00:00.000Z"),
    ] as [(Int64, String)])
  func writes(microseconds: Int64, text: String) {
    #expect(Timestamp(microseconds: microseconds).rfc3339 == text)
  }

  @Test(
    "reads every spelling of RFC 3339",
    arguments: [
      ("1970-01-01T00:00:00Z", 0), ("1970-01-01t01:00:00.5+01:00", 500_000),
      ("1969-12-31T18:30:00-05:30", 0), ("2026-11-20T23:59:57.1234567Z", 1_795_219_197_123_456),
      ("1972-06-30T23:59:60Z", 78_796_800_000_000),
    ] as [(String, Int64)])
  func reads(text: String, microseconds: Int64) {
    #expect(Timestamp(rfc3339: text)?.microseconds == microseconds)
  }

  @Test(
    "refuses what is not a time",
    arguments: [
      "", "2026", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z",
      "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00",
      "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00", "2026-01-01T00:00:00Zx", "2026-1-1T00:00:00Z",
    ])
  func refuses(text: String) {
    #expect(Timestamp(rfc3339: text) == nil)
  }

  @Test("reads back what it wrote")
  func roundTrip() {
    var value: Int64 = -62_135_596_800_000_000
    while value < 253_402_300_799_000_000 {
      let time = Timestamp(microseconds: value)
      #expect(Timestamp(rfc3339: time.rfc3339)?.microseconds == value)
      value += 86_400_000_000 * 397 + 3_661_001_000
    }
  }

  @Test("holds overflowing seconds at the ends")
  func overflow() {
    #expect(Timestamp(seconds: .max).microseconds == .max)
    #expect(Timestamp(milliseconds: .min).microseconds == .min)
    #expect(Timestamp(microseconds: -1).seconds == -1)
  }
}
