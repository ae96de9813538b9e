import Bytes
import JSON
import Messaging

/// Pictures in a message are hosted by Graph; a file lies in SharePoint or OneDrive, and Graph finds it by
/// its address. https://learn.microsoft.com/graph/api/chatmessagehostedcontent-get,
/// https://learn.microsoft.com/graph/api/shares-get
extension TeamsGraphPlatform: FilePlatform {
  private static let hosts = ["graph.microsoft.com"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["error"]?["message"]?.string))
    }
    guard let url = file.attachment.url else { return .failed(FileFetch.nothing) }
    guard let token = file.token else { return FileFetch.missing(GraphAPI.refreshField) }
    if FileFetch.isTrusted(url, Self.hosts, file.secrets) {
      return .download(APIRequest("GET", url).bearer(token))
    }
    let share = "u!" + Base64.encode(Array(url.utf8), .url)
    return .download(GraphAPI.call("GET", "shares/\(share)/driveItem/content", file.secrets, token: token))
  }
}
