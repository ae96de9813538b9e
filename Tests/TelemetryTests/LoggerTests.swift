import Bytes
import JSON
import Synchronization
import Telemetry
import Testing

@Suite struct LoggerTests {
  private final class Lines: Sendable {
    private let bytes = Mutex<[UInt8]>([])
    func append(_ more: [UInt8]) { bytes.withLock { $0 += more } }
    var text: String { bytes.withLock { String(decoding: $0, as: UTF8.self) } }
  }

  private func written(
    _ format: Logger.Format, level: LogLevel = .info, limit: Int = 1 << 20, _ body: (Logger, LogSink) -> Void
  ) -> String {
    let lines = Lines()
    let sink = LogSink(level: level, format: format, pendingBytesMax: limit) { lines.append($0) }
    body(Logger(sink: sink) { Timestamp(seconds: 1_795_219_197) }, sink)
    sink.flush()
    return lines.text
  }

  @Test("writes one JSON object a line, whatever is in the values")
  func json() throws {
    let text = written(.json) { log, _ in
      log.with(["request_id": "r1"]).info(
        "hello\n{\"level\":\"error\"}", event: "test.said",
        ["n": 7, "ok": true, "key": LogValue(Secret("s3cr3t")), "msg": "shadow", "x": .number(.nan)])
    }
    #expect(text.filter { $0 == "\n" }.count == 1)
    let line = try JSONValue(parsing: text.utf8)
    #expect(line["ts"] == "2026-11-20T23:59:57.000Z")
    #expect(line["level"] == "info")
    #expect(line["event"] == "test.said")
    #expect(line["request_id"] == "r1")
    #expect(line["n"] == 7)
    #expect(line["key"] == "<secret>")
    #expect(line["msg_"] == "shadow")
    #expect(!text.contains("s3cr3t"))
  }

  @Test("keeps control characters out of pretty lines")
  func pretty() {
    let text = written(.pretty) { log, _ in log.warning("a\r\nb\u{1b}[31m", ["k": "v\u{2028}w"]) }
    #expect(text == "23:59:57.000 WARNING a  b [31m  k=v w\n" || text.filter(\.isNewline).count == 1)
    #expect(!text.contains("\u{1b}"))
  }

  @Test("leaves out what is below the level, which can be changed")
  func levels() {
    let text = written(.pretty, level: .warning) { log, sink in
      log.info("no")
      sink.level = .debug
      log.debug("yes")
    }
    #expect(!text.contains("no"))
    #expect(text.contains("yes"))
    #expect(LogLevel(name: "WARNING") == .warning)
    #expect(LogLevel(name: "loud") == nil)
  }

  @Test("drops lines past the bound and says how many")
  func bound() {
    let text = written(.json, limit: 10) { log, _ in
      log.info("too long")
      log.info("too long")
    }
    #expect(!text.contains("too long"))
    // A line that waits tells about the dropped ones when it is written.
    #expect(text.contains("\"lines\":2"))
  }

  @Test("prints no secret")
  func secrets() {
    let secret = Secret("s3cr3t")
    var dumped = ""
    dump(secret, to: &dumped)
    #expect("\(secret) \(String(reflecting: secret)) \(dumped)".contains("s3cr3t") == false)
    #expect(secret.exposed == "s3cr3t")
  }
}

@Suite struct TraceContextTests {
  private let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test("reads a traceparent")
  func reads() throws {
    let context = try #require(TraceContext(traceparent: good))
    #expect(context.traceID == "0af7651916cd43dd8448eb211c80319c")
    #expect(context.parentID == "b7ad6b7169203331")
    #expect(context.isSampled)
    #expect(TraceContext(traceparent: "01" + good.dropFirst(2) + "-more") != nil)
  }

  @Test("refuses malformed ones, and every cut")
  func refuses() {
    for count in 0..<good.count { #expect(TraceContext(traceparent: good.prefix(count)) == nil) }
    for text in [
      "ff" + good.dropFirst(2), good.uppercased(), good + "-x", "01" + good.dropFirst(2) + "x",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ] { #expect(TraceContext(traceparent: text) == nil) }
  }

  @Test("takes over a plain request id only")
  func requestIDs() {
    #expect(RequestID(header: "abc-1.2_Z")?.description == "abc-1.2_Z")
    for text in ["", "a b", "a\n", "é", String(repeating: "a", count: 129)] {
      #expect(RequestID(header: text) == nil)
    }
    #expect(RequestID(random: 255).description == "00000000000000ff")
  }
}
