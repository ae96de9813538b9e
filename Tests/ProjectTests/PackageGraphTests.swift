import Testing

@Suite("The house")
struct PackageGraphTests {
  /// The module of an `import` line, whatever stands before and after the word.
  static func importedModule(_ line: String) -> String? {
    // Asked first, because most lines are none and the pattern is slow.
    guard line.contains("import") else { return nil }
    let pattern = /^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:\w+\s+)?import\s+(?:[a-z]+\s+)?([A-Z]\w*)/
    return line.firstMatch(of: pattern).map { String($0.output.1) }
  }

  @Test("every target has its place in a layer, and the other way round")
  func everyTargetHasALayer() throws {
    #expect(Set(try PackageGraph.arrows().keys) == Set(PackageGraph.layers.keys))
    #expect(Set(try Repository.folders(under: "Sources")) == Set(PackageGraph.layers.keys))
  }

  @Test("the arrows of the package go down only")
  func arrowsGoDown() throws {
    for (target, dependencies) in try PackageGraph.arrows() {
      let layer = try #require(PackageGraph.layers[target], "\(target) has no layer")
      for dependency in dependencies {
        let below = try #require(PackageGraph.layers[dependency])
        let allowed =
          layer.mayImport.contains(below) || PackageGraph.exceptions[target]?.contains(dependency) == true
        #expect(allowed, "\(target) (\(layer)) may not depend on \(dependency) (\(below))")
      }
    }
  }

  @Test("no two modules need each other")
  func noCycles() throws {
    let arrows = try PackageGraph.arrows()
    for target in arrows.keys {
      var seen: Set<String> = []
      var open = Array(arrows[target] ?? [])
      while let next = open.popLast() {
        if seen.insert(next).inserted { open += arrows[next] ?? [] }
      }
      #expect(!seen.contains(target), "\(target) depends on itself through \(seen.sorted())")
    }
  }

  @Test("every import is an arrow of the package or a system module that the layer may have")
  func importsAreDrawn() throws {
    let arrows = try PackageGraph.arrows()
    for file in try Repository.swiftFiles(under: "Sources") {
      guard let layer = PackageGraph.layers[file.target] else { continue }
      let allowed =
        (arrows[file.target] ?? []).union(layer.systemModules)
        .union(PackageGraph.exceptions[file.target] ?? [])
      for module in file.code.compactMap(Self.importedModule) {
        #expect(allowed.contains(module), "\(file): import \(module) is not for \(layer) modules")
      }
    }
  }

  @Test("every module has its mirror in Tests")
  func modulesHaveMirrors() throws {
    let tests = try Repository.folders(under: "Tests")
    for (target, layer) in PackageGraph.layers where ![.door, .program, .tool].contains(layer) {
      #expect(tests.contains("\(target)Tests"), "\(target) has no Tests/\(target)Tests")
    }
  }

  @Test(
    "import lines are read in all their forms",
    arguments: [
      ("import Bytes", "Bytes"), ("package import Bytes", "Bytes"), ("@preconcurrency import Glibc", "Glibc"),
      ("internal import struct Bytes.Hex", "Bytes"), ("@_spi(Some) import JSON", "JSON"),
    ])
  func readsImportLines(line: String, module: String) {
    #expect(Self.importedModule(line) == module)
  }

  @Test("other lines are no imports", arguments: ["let import1 = 2", "importantly()", "// import Glibc"])
  func readsNoOtherLines(line: String) {
    #expect(CodeLines.strip([line]).compactMap(Self.importedModule).isEmpty)
  }
}
