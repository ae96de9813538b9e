/// The samples under `Webhooks/`, which the binary carries.
package enum WebhookSamples {
  /// The names of a platform's samples, sorted.
  package static func names(platform: String) -> [String] {
    let prefix = "Webhooks/\(platform)/samples/"
    return EmbeddedFiles.contents.keys
      .filter { $0.hasPrefix(prefix) && $0.hasSuffix(".json") }
      .map { String($0.dropFirst(prefix.count).dropLast(5)) }
      .sorted()
  }

  /// The JSON text of a sample; nil: there is none of this name.
  package static func sample(platform: String, name: String) -> String? {
    EmbeddedFiles.contents["Webhooks/\(platform)/samples/\(name).json"]
  }
}
