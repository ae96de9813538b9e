import Foundation
import PackagePlugin

/// Carries `Migrations/*.sql` and `Webhooks/*/samples/*.json` into the Hub module as Swift strings,
/// so that one binary is all there is to install.
@main
struct EmbedFiles: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let root = context.package.directoryURL
    let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedFiles.swift")
    let folders = ["Migrations", "Webhooks"].map { root.appending(path: $0) }
    let inputs = folders.flatMap { files(below: $0) }.sorted { $0.path < $1.path }
    return [
      .buildCommand(
        displayName: "Embedding migrations and webhook samples",
        executable: try context.tool(named: "embed-files").url,
        arguments: [output.path, root.path] + inputs.map(\.path),
        inputFiles: inputs,
        outputFiles: [output])
    ]
  }

  private func files(below folder: URL) -> [URL] {
    guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else {
      return []
    }
    return walk.compactMap { $0 as? URL }.filter { ["sql", "json"].contains($0.pathExtension) }
  }
}
