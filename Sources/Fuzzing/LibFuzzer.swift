// What libFuzzer calls. Nothing else does: without it these are two functions that nobody uses.

import Glibc

/// The entry that the environment names.
private let chosen: FuzzEntry = {
  let name = getenv("FUZZ_ENTRY").map { String(cString: $0) } ?? ""
  if let entry = FuzzEntry.all.first(where: { $0.name == name }) { return entry }
  say("FUZZ_ENTRY must be one of \(FuzzEntry.all.map(\.name).joined(separator: ", "))")
  exit(2)
}()

/// Runs one input. A property that does not hold ends the process, as a trap would: that is how the
/// fuzzer learns of it.
@c(LLVMFuzzerTestOneInput)
package func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  do throws(FuzzFinding) {
    try chosen.run(Array(UnsafeBufferPointer(start: start, count: count)))
  } catch {
    say("Finding: \(error)")
    abort()
  }
  return 0
}

private func say(_ text: String) {
  let line = Array("\(text)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
