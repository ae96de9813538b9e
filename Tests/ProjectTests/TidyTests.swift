// The rules of form that a reviewer should not have to remember. Each failure names the place, and says
// what to write instead.

import Foundation
import Testing

@Suite("Tidiness")
struct TidyTests {
  static let fileLinesMax = 600
  static let lineColumnsMax = 110

  static func files() throws -> [SourceFile] {
    try Repository.swiftFiles(under: "Sources") + Repository.swiftFiles(under: "Tests")
  }

  /// The tools that run while the package is built are not part of what runs later.
  static func isProduct(_ file: SourceFile) -> Bool {
    file.path.hasPrefix("Sources/") && PackageGraph.layers[file.target] != .tool
  }

  @Test(
    "banned words are not in the product",
    arguments: [
      ("pthread_self", "compare the loop's own thread-local mark: this is wrong after an await"),
      ("DispatchSemaphore", "suspend the task; nothing blocks a loop"),
      ("Task.sleep", "EventLoop.sleep, which tests can steer"),
      ("Task.detached", "EventLoop.spawn, so that the task has a home"),
      ("try!", "let the error reach somebody who can act on it"),
      ("as!", "as? with an answer for nil"),
      ("fatalError()", "say in the text what was impossible"),
      ("print(", "the logger, or the program's own output"),
      ("public ", "package: nothing leaves this package"),
      ("open class", "package final class"),
    ])
  func bannedWords(word: String, instead: String) throws {
    for file in try Self.files() where Self.isProduct(file) {
      let places = file.places { line in
        guard let range = line.range(of: word) else { return false }
        guard let before = line[..<range.lowerBound].last else { return true }
        return !(before.isLetter || before.isNumber || before == "_")
      }
      #expect(places.isEmpty, "\(places): `\(word)` is banned. Instead: \(instead)")
    }
  }

  @Test("nothing is left to do later")
  func noLeftovers() throws {
    let words = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]
    for file in try Self.files() {
      for (index, line) in file.lines.enumerated() {
        for word in words where line.contains(word) {
          Issue.record("\(file):\(index + 1): \(word): do it now, or describe what is")
        }
      }
    }
  }

  @Test("only the machinery promises what the compiler cannot check, and says why it is safe")
  func uncheckedOnlyWithReason() throws {
    let machinery: Set = [
      "EventLoop", "Postgres", "HTTPServer", "HTTPClient", "SocketIOServer", "Telemetry", "Security",
    ]
    for file in try Self.files() where file.path.hasPrefix("Sources/") {
      for index in file.code.indices {
        let line = file.code[index]
        guard line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") else { continue }
        #expect(machinery.contains(file.target), "\(file):\(index + 1): not in \(file.target)")
        // The reason stands on the line, in the comment right above, or as the first thing below.
        let above = file.lines[..<index].reversed().prefix {
          let text = $0.trimmingCharacters(in: .whitespaces)
          return text.hasPrefix("//") || text.hasPrefix("@")
        }
        let below = file.lines[(index + 1)...].prefix(1)
        let reason = ([file.lines[index]] + above + below).joined(separator: " ")
        #expect(reason.contains("Safe because"), "\(file):\(index + 1): no comment begins \"Safe because\"")
      }
    }
  }

  /// Measured with Swift 6.3: the caller's loop is handed on only to a closure that uses the parameter
  /// it is handed on by. Without that use (`_`, or a name alone) the asynchronous closures that the body
  /// calls run on the global pool, whatever the state they touch; calls of functions stay.
  @Test("a closure that is started on a loop uses the shard it gets, or what it calls leaves the loop")
  func shardsAreUsed() throws {
    for file in try Self.files() where file.target != "ProjectTests" {
      for closure in ClosureText.all(in: file.code) where closure.call.contains(Self.startOnLoop) {
        guard let shard = closure.parameters.last else { continue }
        let isUsed = shard != "_" && closure.body.split { !($0.isLetter || $0.isNumber) }.contains(shard[...])
        #expect(isUsed, "\(file):\(closure.line): name the shard and use it: `{ shard in ... shard.loop`")
      }
    }
  }

  // No word boundary before the names: for Swift `loop.spawn` is one word.
  private static var startOnLoop: Regex<Substring> { /(?:shard\.run|spawn|\.accept)(?:\(\))?\s*$/ }

  /// Measured with Swift 6.3: an asynchronous closure with a capture list does not inherit its caller's
  /// loop, it runs on the global pool. The same closure that captures without a list stays.
  @Test("an asynchronous closure has no capture list, or it leaves the loop")
  func noCaptureListsWithAwait() throws {
    for file in try Self.files() where file.target != "ProjectTests" {
      for closure in ClosureText.all(in: file.code) where closure.hasCaptureList {
        #expect(
          !closure.ownBody.contains(/\bawait\b/),
          "\(file):\(closure.line): copy to a constant before the closure, or hold the object strongly")
      }
    }
  }

  @Test(
    "the rules about closures see them in every form",
    arguments: [
      ("await loop.shard.run { _ in", "_", true),
      ("loop.spawn { [weak self] shard in await self?.go() }", "shard", true),
      ("listener.accept { socket, shard -> Int? in", "shard", true),
      ("socket.on { @Sendable [a, b = c] (x: Int) in", "x", true),
      ("timer { [weak self] in self?.loop.spawn { shard in await go() } }", "", false),
    ])
  func closureForms(head: String, last: String, isAsync: Bool) throws {
    let code = ["  " + head, "    if a {", "      await go()", "    }", "  }", "  await other()"]
    let closure = try #require(ClosureText.all(in: code).first)
    #expect(closure.parameters.last ?? "" == last)
    #expect(closure.hasCaptureList == head.contains("["))
    #expect(closure.call.contains(Self.startOnLoop) == !(head.hasPrefix("timer") || head.hasPrefix("socket")))
    #expect(closure.ownBody.contains("await") == isAsync)
    #expect(!closure.body.contains("other"))
  }

  @Test("no file is too long to be one subject")
  func filesAreShort() throws {
    for file in try Self.files() where file.path.hasPrefix("Sources/") {
      #expect(file.lines.count <= Self.fileLinesMax + 1, "\(file): \(file.lines.count) lines")
    }
  }

  @Test("no line is too long to be read")
  func linesAreShort() throws {
    for file in try Self.files() where file.path.hasPrefix("Sources/") {
      for (index, line) in file.lines.enumerated() where line.count > Self.lineColumnsMax {
        Issue.record("\(file):\(index + 1): \(line.count) columns, at most \(Self.lineColumnsMax)")
      }
    }
  }

  @Test("types have names that say what they are")
  func typeNames() throws {
    let vague =
      /\b(?:struct|class|enum|actor|protocol)\s+(\w*(?:Manager|Helper|Utils?|Data|Info|Processor|Service))\b/
    for file in try Self.files() where Self.isProduct(file) {
      for line in file.code {
        if let match = line.firstMatch(of: vague) {
          Issue.record("\(file): \(match.output.1): a noun that one can say in a meeting")
        }
      }
    }
  }

  @Test("every type that another module can see says what it is")
  func typesAreDocumented() throws {
    let declaration =
      /^package\s+(?:(?:final|indirect|nonisolated)\s+)*(?:struct|class|enum|actor|protocol)\s+\w/
    for file in try Self.files() where Self.isProduct(file) {
      for index in file.code.indices where file.code[index].contains(declaration) {
        let above = file.lines[..<index].reversed().first {
          !$0.trimmingCharacters(in: .whitespaces).hasPrefix("@")
        }
        let isDocumented = above?.trimmingCharacters(in: .whitespaces).hasPrefix("///") == true
        #expect(isDocumented, "\(file):\(index + 1): no docstring")
      }
    }
  }

  @Test("the top level holds what the house needs and nothing more")
  func topLevel() throws {
    let allowed: Set = [
      "Package.swift", "Sources", "Tests", "Migrations", "Webhooks", "README.md", "ARCHITECTURE.md",
      "Makefile", "LICENSE", ".ci", ".swift-format", ".gitignore",
    ]
    // What git and the build leave beside them is not part of the project.
    let local: Set = [".git", ".build", ".hub", ".swiftpm", ".vscode", ".idea"]
    let strangers = Set(try Repository.topLevel()).subtracting(allowed).subtracting(local)
    #expect(strangers.isEmpty, "not at the top level: \(strangers.sorted())")
    #expect(try Repository.text(of: "LICENSE").contains("Apache License"))
  }

  @Test("each migration has a number of four digits of its own")
  func migrationsAreNumbered() throws {
    let folder = Repository.root.appendingPathComponent("Migrations").path
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    for name in names {
      #expect(name.wholeMatch(of: /\d{4}_[a-z0-9_]+\.sql/) != nil, "\(name): NNNN_subject.sql")
    }
    #expect(Set(names.map { $0.prefix(4) }).count == names.count, "two migrations share a number")
  }
}
