import FoundationEssentials
import Platforms

/// Bodies from files, to be signed and sent like a sample: what a hub does with a payload that no sample has,
/// or with one that is broken.
enum SimulatedBodies {
  private static let filesMax = 10_000
  /// More than any hub takes.
  private static let bytesMax = 64 << 20

  /// Each sample with each file's bytes for its body, files in the order of their names.
  /// - Parameter path: a file, or a folder of files.
  static func samples(of samples: [WebhookSample], from path: String) throws(UsageError) -> [WebhookSample] {
    guard !samples.contains(where: { $0.method == "GET" }) else {
      throw UsageError("--body needs a sample that has a body")
    }
    var bodies: [[UInt8]] = []
    for file in try files(path) { bodies.append(try bytes(file)) }
    return samples.flatMap { sample in bodies.map { sample.replacing(body: $0) } }
  }

  private static func files(_ path: String) throws(UsageError) -> [String] {
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw UsageError("--body '\(path)' is not there")
    }
    guard isFolder else { return [path] }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    guard (1...filesMax).contains(names.count) else {
      throw UsageError("--body '\(path)' has to have 1 to \(filesMax) files")
    }
    return names.sorted().map { "\(path)/\($0)" }
  }

  private static func bytes(_ file: String) throws(UsageError) -> [UInt8] {
    guard let data = try? Data(contentsOf: URL(filePath: file)) else {
      throw UsageError("--body '\(file)' cannot be read")
    }
    guard data.count <= bytesMax else { throw UsageError("--body '\(file)' has more than \(bytesMax) bytes") }
    return Array(data)
  }
}
