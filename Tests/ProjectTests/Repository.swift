// The repository as text, for the tests that keep its form.
//
// Nothing here builds or runs the product. Files are found from this file's own path, so the tests work
// from any working folder.

import Foundation
import Synchronization

/// One source file: where it stands and what it says.
struct SourceFile: CustomStringConvertible {
  /// The path from the root of the repository, with "/" between names.
  let path: String
  let lines: [String]
  /// The lines with comments and the texts of string literals taken out: what the compiler acts on.
  let code: [String]

  var description: String { path }

  /// The name after "Sources/" or "Tests/": the target that the file belongs to.
  var target: String {
    let parts = path.split(separator: "/")
    return parts.count > 1 ? String(parts[1]) : ""
  }

  init(path: String, text: String) {
    self.path = path
    lines = text.components(separatedBy: "\n")
    code = CodeLines.strip(lines)
  }

  /// "path:line" of each line of code that `matches` finds, as the editor wants it.
  func places(where matches: (String) -> Bool) -> [String] {
    code.indices.filter { matches(code[$0]) }.map { "\(path):\($0 + 1)" }
  }
}

enum Repository {
  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The names at the top level.
  static func topLevel() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: root.path).sorted()
  }

  /// The folders directly under `folder`.
  static func folders(under folder: String) throws -> [String] {
    let url = root.appendingPathComponent(folder)
    return try FileManager.default.contentsOfDirectory(atPath: url.path).filter {
      var isFolder: ObjCBool = false
      let path = url.appendingPathComponent($0).path
      return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
  }

  static func text(of path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  private static let read = Mutex<[String: [SourceFile]]>([:])

  /// All Swift files under `folder`, in the order of their paths. Read once for all tests.
  static func swiftFiles(under folder: String) throws -> [SourceFile] {
    try read.withLock { read in
      if let files = read[folder] { return files }
      let files = try readFiles(under: folder)
      read[folder] = files
      return files
    }
  }

  private static func readFiles(under folder: String) throws -> [SourceFile] {
    let url = root.appendingPathComponent(folder)
    guard let names = FileManager.default.enumerator(atPath: url.path) else { return [] }
    return try names.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.sorted().map {
      let path = "\(folder)/\($0)"
      return SourceFile(path: path, text: try text(of: path))
    }
  }
}

/// Takes comments and string texts out of Swift lines. It reads as much of the language as the house uses:
/// line and block comments, strings, raw strings with one #, and multi-line strings.
enum CodeLines {
  private enum State { case code, blockComment, multiLineString }

  static func strip(_ lines: [String]) -> [String] {
    var state = State.code
    return lines.map { strip($0, &state) }
  }

  private static func strip(_ line: String, _ state: inout State) -> String {
    var kept = ""
    var rest = Substring(line)
    while !rest.isEmpty {
      switch state {
      case .blockComment:
        guard let end = rest.range(of: "*/") else { return kept }
        rest = rest[end.upperBound...]
        state = .code
      case .multiLineString:
        guard let end = rest.range(of: "\"\"\"") else { return kept }
        rest = rest[end.upperBound...]
        state = .code
      case .code:
        if rest.hasPrefix("//") { return kept }
        if rest.hasPrefix("/*") {
          state = .blockComment
          rest = rest.dropFirst(2)
        } else if rest.hasPrefix("\"\"\"") {
          kept += "\"\""
          state = .multiLineString
          rest = rest.dropFirst(3)
        } else if rest.first == "\"" {
          kept += "\"\""
          rest = afterString(rest.dropFirst())
        } else {
          kept.append(rest.removeFirst())
        }
      }
    }
    return kept
  }

  private static func afterString(_ text: Substring) -> Substring {
    var rest = text
    while let character = rest.popFirst() {
      if character == "\"" { return rest }
      if character == "\\" { rest = rest.dropFirst() }
    }
    return rest
  }
}
