// The house: which target belongs to which layer, and what each layer may import.
//
// Package.swift says which arrows there are; the table here says which there may be. A new module is
// entered in `layers`, and that is the moment to think about where it belongs.

import Foundation

enum Layer: String {
  case door, ground, wire, machinery, domain, judge, product, program, tool

  /// The layers that this one may import from.
  var mayImport: Set<Layer> {
    switch self {
    case .door: []
    case .ground: [.door, .ground]
    case .wire: [.ground, .wire]
    case .machinery: [.door, .ground, .wire, .machinery]
    case .domain: [.ground, .wire, .domain]
    case .judge: [.ground, .wire, .domain]
    case .product: [.ground, .wire, .machinery, .domain]
    case .program: [.door, .ground, .wire, .machinery, .domain, .product]
    case .tool: [.tool]
    }
  }

  /// The modules of the system and the toolchain that this layer may import.
  var systemModules: Set<String> {
    switch self {
    case .door: []
    case .ground: ["FoundationEssentials", "Synchronization"]
    case .wire, .domain: ["FoundationEssentials"]
    case .machinery: ["FoundationEssentials", "Glibc", "Synchronization"]
    case .judge: ["Glibc"]
    case .product: ["FoundationEssentials", "Foundation", "Synchronization"]
    case .program: ["FoundationEssentials", "Foundation", "Glibc", "Synchronization"]
    case .tool: ["Foundation", "PackagePlugin"]
    }
  }
}

enum PackageGraph {
  static let layers: [String: Layer] = [
    "CLinux": .door, "CPostgres": .door, "COpenSSL": .door, "CZlib": .door,
    "Bytes": .ground, "JSON": .ground, "Telemetry": .ground, "Security": .ground,
    "HTTPWire": .wire, "WebSocketWire": .wire, "SocketIOWire": .wire, "MailWire": .wire,
    "MIME": .wire,
    "EventLoop": .machinery, "Postgres": .machinery, "HTTPServer": .machinery, "HTTPClient": .machinery,
    "SocketIOServer": .machinery, "MailClient": .machinery,
    "Messaging": .domain, "Platforms": .domain,
    "Fuzzing": .judge,
    "Hub": .product,
    "messaging-hub": .program, "hub-bench": .program, "wire-echo": .program,
    "embed-files": .tool, "echo-yardstick": .tool, "EmbedFiles": .tool,
  ]

  /// What one module has beyond its layer, each with its reason.
  static let exceptions: [String: Set<String>] = [
    // That OpenSSL frees nothing at exit must be said before its first use.
    "CLinux": ["COpenSSL"],
    // Compression is zlib's; nothing else of the wire touches C.
    "WebSocketWire": ["CZlib"],
    "HTTPWire": ["CZlib"],
    // The character sets of mail beyond Unicode and Western: Foundation proper converts them.
    "MIME": ["Foundation"],
    // JSONSerialization is in Foundation proper, and three times as fast as a decoder.
    "JSON": ["Foundation"],
    // A log line leaves through write(2), on a queue of its own so that no loop waits for a pipe.
    "Telemetry": ["Glibc", "Dispatch"],
    // The queue that a Swift executor must be told about is Dispatch's type.
    "EventLoop": ["Dispatch"],
  ]

  /// The arrows that Package.swift draws: target to the targets it names.
  static func arrows() throws -> [String: Set<String>] {
    let manifest = try Repository.text(of: "Package.swift")
    guard let start = manifest.range(of: "targets: [\n") else { return [:] }
    let body = String(manifest[start.upperBound...])
    let declaration = /(?m)^ {4}(?:module|program|\.target|\.systemLibrary|\.executableTarget|\.plugin)\(/
    var arrows: [String: Set<String>] = [:]
    let starts = body.matches(of: declaration).map(\.range.lowerBound)
    for (index, start) in starts.enumerated() {
      var end = index + 1 < starts.count ? starts[index + 1] : body.endIndex
      if let tests = body[start..<end].range(of: "\n    tests(") { end = tests.lowerBound }
      let names = body[start..<end].matches(of: /"([\w-]+)"/).map { String($0.output.1) }
      guard let name = names.first else { continue }
      arrows[name] = Set(names.dropFirst()).intersection(layers.keys).subtracting(["EmbedFiles", name])
    }
    return arrows
  }
}
