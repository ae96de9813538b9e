import Messaging

/// Links are good for two days and open to whoever has them, unless the application's inbound media is
/// secured: then they want a token of the application.
/// https://developer.vonage.com/en/messages/concepts/secure-inbound-media
extension VonagePlatform: FilePlatform {
  private static let hosts = ["nexmo.com", "vonage.com"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    FileFetch.open(file, after: answers, hosts: Self.hosts, credentials: VonageAPI.privateKeyField) {
      request in
      VonageAPI.token(file.secrets, key: file.messageID, now: file.now).map { request.bearer($0) }
    }
  }
}
