import Testing

@testable import hub_bench

@Suite("What is reported")
struct BenchReportTests {
  @Test("quantiles are the nearest rank")
  func quantiles() {
    var samples = Samples()
    for value in (1...100).shuffled() { samples.add(.milliseconds(value)) }
    #expect(samples.quantiles([0.5, 0.99, 1]) == [50, 99, 100])
    #expect(Samples().quantiles([0.5]) == [0])
  }

  @Test("the median of both kinds of lists")
  func median() {
    #expect([3.0, 1, 2].median == 2)
    #expect([4.0, 1, 2, 3].median == 2.5)
    #expect([Double]().median == 0)
  }

  @Test(
    "figures have enough digits and not more",
    arguments: [
      (0.0, "0.00"), (0.456, "0.46"), (9.05, "9.05"), (12.34, "12.3"), (123.4, "123"), (38_302, "38,302"),
      (1_234_567, "1,234,567"), (-5, "-5.00"),
    ])
  func figure(value: Double, text: String) {
    #expect(Figure("key", "label", value, "").text == text)
  }

  @Test(
    "wrong options are refused",
    arguments: [
      ["--seconds"], ["--seconds", "0"], ["--seconds", "x"], ["--only", "speed"], ["--fast", "1"],
    ])
  func refusedOptions(words: [String]) {
    guard case .failure = BenchOptions.parse(words) else {
      Issue.record("\(words) were taken")
      return
    }
  }

  @Test("sections keep their order")
  func sections() throws {
    guard case .success(.run(let options)) = BenchOptions.parse(["--only", "ingest,idle", "--seconds", "3"])
    else {
      Issue.record("refused")
      return
    }
    #expect(options.sections == [.idle, .ingest])
    #expect(options.seconds == 3)
  }
}
