// swift-tools-version: 6.2
import PackageDescription

// The house of ARCHITECTURE.md: each target is one module, arrows go down only. A test reads every
// import line against this graph, so a new arrow is drawn here first.

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ module: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
  .testTarget(
    name: "\(module)Tests", dependencies: [.byName(name: module)] + dependencies,
    exclude: exclude, swiftSettings: settings)
}

let package = Package(
  name: "messaging-hub",
  products: [
    .executable(name: "messaging-hub", targets: ["messaging-hub"]),
    .executable(name: "hub-bench", targets: ["hub-bench"]),
    .executable(name: "wire-echo", targets: ["wire-echo"]),
    .executable(name: "echo-yardstick", targets: ["echo-yardstick"]),
    // What `make fuzz` links with libFuzzer.
    .library(name: "Fuzzing", type: .static, targets: ["Fuzzing"]),
  ],
  targets: [
    // The C doors.
    .target(name: "CLinux", dependencies: ["COpenSSL"]),
    .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // Ground.
    module("Bytes"),
    module("JSON", ["Bytes"]),
    module("Telemetry", ["Bytes", "JSON"]),
    module("Security", ["COpenSSL", "Bytes", "JSON"]),

    // Wire: pure.
    module("HTTPWire", ["Bytes", "CZlib"]),
    module("WebSocketWire", ["Bytes", "CZlib"]),
    module("SocketIOWire", ["Bytes"]),
    module("MailWire", ["Bytes", "Telemetry"]),
    module("MIME", ["Bytes"]),

    // Machinery: I/O.
    module("EventLoop", ["CLinux", "COpenSSL", "Bytes"]),
    module("Postgres", ["CLinux", "CPostgres", "EventLoop", "Bytes", "Telemetry"]),
    module("HTTPServer", ["HTTPWire", "WebSocketWire", "EventLoop", "Bytes", "Telemetry", "COpenSSL"]),
    module("HTTPClient", ["HTTPWire", "EventLoop", "Bytes"]),
    module(
      "SocketIOServer",
      ["SocketIOWire", "HTTPServer", "HTTPWire", "WebSocketWire", "EventLoop", "Bytes", "JSON", "Telemetry"]),
    module("MailClient", ["MailWire", "EventLoop", "Bytes"]),

    // Domain: pure.
    module("Messaging", ["Bytes", "JSON"]),
    module("Platforms", ["Messaging", "MIME", "MailWire", "Security", "HTTPWire", "Bytes", "JSON"]),

    // Product.
    .target(
      name: "Hub",
      dependencies: [
        "Platforms", "Messaging", "SocketIOServer", "SocketIOWire", "HTTPServer", "HTTPClient", "HTTPWire",
        "WebSocketWire", "MailClient", "MailWire",
        "Postgres", "EventLoop", "Security", "Telemetry", "Bytes", "JSON",
      ],
      swiftSettings: settings,
      plugins: ["EmbedFiles"]),
    program(
      "messaging-hub",
      [
        "Hub", "Platforms", "Messaging", "HTTPClient", "HTTPWire", "Postgres", "EventLoop", "Security",
        "Telemetry",
        "Bytes", "JSON", "CLinux",
      ]),
    program(
      "hub-bench",
      [
        "Hub", "Platforms", "HTTPClient", "HTTPServer", "HTTPWire", "WebSocketWire", "SocketIOWire",
        "EventLoop", "Bytes",
        "JSON", "CLinux",
      ]),
    // What hub-bench measures WebSocket echo against.
    .executableTarget(name: "echo-yardstick"),
    program(
      "wire-echo",
      [
        "SocketIOServer", "SocketIOWire", "HTTPServer", "HTTPWire", "WebSocketWire", "EventLoop", "Bytes",
        "JSON",
      ]),

    // What must hold for every input of a parser, for the fuzzer and for the tests.
    module("Fuzzing", ["SocketIOWire", "WebSocketWire", "HTTPWire", "MIME", "Security", "JSON", "Bytes"]),

    // The build tool that carries Migrations/ and Webhooks/ into the binary.
    .executableTarget(name: "embed-files", swiftSettings: settings),
    .plugin(
      name: "EmbedFiles", capability: .buildTool(), dependencies: ["embed-files"],
      path: "Sources/EmbedFiles"),

    tests("Bytes"),
    tests("JSON"),
    tests("Telemetry", ["Bytes", "JSON"]),
    tests("Security", ["Bytes", "JSON"]),
    tests("Fuzzing", exclude: ["Corpus"]),
    tests("HTTPWire", ["Fuzzing", "Bytes"]),
    tests("WebSocketWire", ["Bytes"]),
    tests("SocketIOWire", ["Bytes"]),
    tests("MailWire", ["Bytes"]),
    tests("MIME", ["Bytes"]),
    tests("EventLoop", ["COpenSSL", "Bytes"]),
    tests("Postgres", ["EventLoop", "Bytes"]),
    tests("HTTPServer", ["HTTPClient", "HTTPWire", "WebSocketWire", "EventLoop", "Bytes"]),
    tests("HTTPClient", ["HTTPServer", "HTTPWire", "EventLoop", "Bytes"]),
    tests(
      "SocketIOServer",
      ["HTTPServer", "HTTPClient", "SocketIOWire", "WebSocketWire", "HTTPWire", "EventLoop", "Bytes", "JSON"]),
    tests("MailClient", ["MailWire", "EventLoop", "Bytes"]),
    tests("Messaging", ["JSON", "Bytes"]),
    tests(
      "Platforms", ["Messaging", "MIME", "MailWire", "Security", "HTTPWire", "Bytes", "JSON"],
      exclude: ["Fixtures"]),
    tests(
      "Hub",
      [
        "Platforms", "Messaging", "Postgres", "HTTPClient", "HTTPServer", "HTTPWire", "EventLoop", "Security",
        "Bytes", "JSON",
      ]),
    .testTarget(
      name: "hub-benchTests", dependencies: ["hub-bench", "Bytes", "JSON"], swiftSettings: settings),
    .testTarget(
      name: "messaging-hubTests", dependencies: ["messaging-hub", "Hub", "HTTPClient", "HTTPWire"],
      swiftSettings: settings),
    .testTarget(name: "wire-echoTests", dependencies: ["wire-echo"], swiftSettings: settings),
    .testTarget(name: "ProjectTests", swiftSettings: settings),
  ]
)
