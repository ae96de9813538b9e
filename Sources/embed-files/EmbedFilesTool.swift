import Foundation

/// Writes a Swift file with one dictionary: path below the package root, contents as text.
/// Usage: embed-files OUTPUT ROOT FILE...
@main
struct EmbedFilesTool {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3 else {
      FileHandle.standardError.write(Data("usage: embed-files OUTPUT ROOT FILE...\n".utf8))
      exit(2)
    }
    let root = arguments[2].hasSuffix("/") ? arguments[2] : arguments[2] + "/"
    var text = "// Written by embed-files; do not edit.\n\nenum EmbeddedFiles {\n"
    text += "  static let contents: [String: String] = [\n"
    for path in arguments.dropFirst(3) {
      let contents = try String(contentsOfFile: path, encoding: .utf8)
      let name = path.hasPrefix(root) ? String(path.dropFirst(root.count)) : path
      let fence = String(repeating: "#", count: 6)
      text += "    \"\(name)\": \(fence)\"\"\"\n\(contents)\n\"\"\"\(fence),\n"
    }
    if arguments.count == 3 { text += "    :\n" }
    text += "  ]\n}\n"
    try text.write(toFile: arguments[1], atomically: true, encoding: .utf8)
  }
}
