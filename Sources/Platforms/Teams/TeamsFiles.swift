import JSON
import Messaging

/// Pictures in a chat are kept by the Bot Framework, which wants the bot's token; files have a link that is
/// signed. https://learn.microsoft.com/en-us/microsoftteams/platform/bots/how-to/bots-filesv4
extension TeamsPlatform: FilePlatform {
  private static let hosts = [
    "smba.trafficmanager.net", "botframework.com", "teams.microsoft.com", "graph.microsoft.com",
  ]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last { return .failed(FileFetch.failure(answer, file)) }
    guard let url = file.attachment.url else { return .failed(FileFetch.nothing) }
    let request = APIRequest("GET", url)
    guard FileFetch.isTrusted(url, Self.hosts, file.secrets), let token = file.token else {
      return .download(request)
    }
    return .download(request.bearer(token))
  }
}
