import Telemetry
import Testing

@Suite struct MetricsRegistryTests {
  @Test("writes the text format")
  func exposition() {
    let registry = MetricsRegistry()
    let counter = registry.counter("hub_x_total", "Says \\ and\nmore.", ["platform": "a\"b\\c\nd"])
    counter.add(2)
    counter.add(-5)
    _ = registry.counter("hub_x_total", "Says.", ["platform": "other"])
    registry.gauge("hub_g", "G.").set(-3)
    registry.sampledGauge("hub_s", "S.") { 1.5 }
    let histogram = registry.histogram("hub_h_seconds", "H.", ["k": "v"], bounds: [0.1, 1])
    for value in [0.1, 0.5, 7] { histogram.observe(value) }
    let expected = #"""
      # HELP hub_g G.
      # TYPE hub_g gauge
      hub_g -3
      # HELP hub_h_seconds H.
      # TYPE hub_h_seconds histogram
      hub_h_seconds_bucket{k="v",le="0.1"} 1
      hub_h_seconds_bucket{k="v",le="1"} 2
      hub_h_seconds_bucket{k="v",le="+Inf"} 3
      hub_h_seconds_sum{k="v"} 7.6
      hub_h_seconds_count{k="v"} 3
      # HELP hub_s S.
      # TYPE hub_s gauge
      hub_s 1.5
      # HELP hub_x_total Says \\ and\nmore.
      # TYPE hub_x_total counter
      hub_x_total{platform="a\"b\\c\nd"} 2
      hub_x_total{platform="other"} 0

      """#
    #expect(String(decoding: registry.exposition(), as: UTF8.self) == expected)
  }

  @Test("gives the same handle for the same labels, and loses no count between threads")
  func handles() async {
    let registry = MetricsRegistry()
    let histogram = registry.histogram("h", "H.", bounds: [1])
    await withTaskGroup { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<1_000 {
            registry.counter("c", "C.").add()
            histogram.observe(0.5)
          }
        }
      }
    }
    #expect(registry.counter("c", "C.").value == 4_000)
    #expect(histogram.counts == [4_000, 0])
    #expect(histogram.sum == 2_000)
  }
}
