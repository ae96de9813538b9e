import Messaging

/// Files of MessageBird were seen to be open to whoever has their link.
extension MessageBirdPlatform: FilePlatform {
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    BirdAPI.file(file, after: answers)
  }
}

/// Bird documents an address for media beside that of its interface, for which a key is needed
/// (https://docs.bird.com/api/api-access/common-api-usage).
extension BirdPlatform: FilePlatform {
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    BirdAPI.file(file, after: answers)
  }
}

extension BirdAPI {
  private static let hosts = ["messagebird.com", "bird.com"]

  /// The link, and where it wants a key, with the key.
  static func file(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    FileFetch.open(file, after: answers, hosts: hosts, credentials: keyField) { request in
      file.secrets.first(keyField).map { request.adding("Authorization", "AccessKey \($0)") }
    }
  }
}
