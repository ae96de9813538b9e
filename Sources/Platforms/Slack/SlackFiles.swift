import JSON
import Messaging

/// Private links want the bot token; files of a shared channel may have to be asked for first
/// (`file_access`). https://docs.slack.dev/messaging/working-with-files
extension SlackPlatform: FilePlatform {
  private static let tokenField = "botToken"
  private static let hosts = ["slack.com", "slack-files.com"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    guard let token = file.token ?? file.secrets.first(Self.tokenField) else {
      return FileFetch.missing(Self.tokenField)
    }
    if let url = file.attachment.url {
      if let answer = answers.last { return .failed(FileFetch.failure(answer, file)) }
      return download(url, token, file)
    }
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    guard let answer = answers.last else {
      let url = "\(file.secrets.apiURL("https://slack.com/api"))/files.info"
      return .call(APIRequest("GET", APIRequest.url(url, [("file", id)])).bearer(token))
    }
    guard answers.count == 1, answer.isSuccess, answer.json?["ok"]?.bool == true else {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["error"]?.string))
    }
    let found = answer.json?["file"]
    guard let url = found?["url_private_download"]?.string ?? found?["url_private"]?.string else {
      return .failed(FileFetch.nothing)
    }
    return download(url, token, file)
  }

  /// Files that Slack only links to (`mode` external) are fetched without the token.
  private func download(_ url: String, _ token: String, _ file: FileJob) -> FileStep {
    let request = APIRequest("GET", url)
    return .download(FileFetch.isTrusted(url, Self.hosts, file.secrets) ? request.bearer(token) : request)
  }
}
