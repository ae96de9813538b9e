import Foundation
import Testing

@testable import Fuzzing

/// The inputs that are kept: first ones, with names; some with which the fuzzer reached further
/// (`found-…`); and every one that ever broke something (`crash-…`).
enum Corpus {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Corpus")

  static func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  static func inputs(_ entry: String) throws -> [(name: String, bytes: [UInt8])] {
    let folder = folder.appendingPathComponent(entry)
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
      ($0, [UInt8](try Data(contentsOf: folder.appendingPathComponent($0))))
    }
  }
}

extension FuzzEntry: CustomTestStringConvertible {
  package var testDescription: String { name }
}

@Suite("Kept inputs of the fuzzers") struct CorpusTests {
  @Test("every parser has inputs, and all inputs have a parser")
  func namesAgree() throws {
    #expect(try Corpus.names() == FuzzEntry.all.map(\.name).sorted())
  }

  @Test("every property holds for each of them, cut at every place", arguments: FuzzEntry.all)
  func replay(entry: FuzzEntry) throws {
    let inputs = try Corpus.inputs(entry.name)
    #expect(inputs.count >= 3)
    for input in inputs {
      #expect(throws: Never.self, "\(input.name)") { try entry.run(input.bytes, cutting: .everywhere) }
    }
  }

  @Test(
    "every property holds for each beginning of them, and with garbage behind it", arguments: FuzzEntry.all)
  func beginnings(entry: FuzzEntry) throws {
    for input in try Corpus.inputs(entry.name) where !input.name.hasPrefix("found") {
      for count in input.bytes.indices {
        let beginning = Array(input.bytes[..<count])
        for garbage in [[], [UInt8](repeating: 0xff, count: 9), Array("\r\n\u{0}]}9".utf8)] {
          #expect(throws: Never.self, "\(input.name), \(count) bytes") { try entry.run(beginning + garbage) }
        }
      }
    }
  }
}
