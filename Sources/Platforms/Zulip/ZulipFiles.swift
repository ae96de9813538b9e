import Bytes
import JSON
import Messaging

/// The API gives an address of an upload that is good for a minute.
/// https://zulip.com/api/get-file-temporary-url
extension ZulipPlatform: FilePlatform {
  private static let folder = "/user_uploads/"

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    guard let server = file.secrets.serverURL("server") else { return FileFetch.missing("server") }
    guard let link = file.attachment.url ?? file.attachment.externalID else {
      return .failed(FileFetch.nothing)
    }
    guard let start = link.firstRange(of: Self.folder),
      link.hasPrefix("/") || FileFetch.isTrusted(link, [], file.secrets)
    else { return FileFetch.plain(file, after: answers) }
    guard let answer = answers.last else {
      guard let email = file.secrets.first("email"), let key = file.secrets.first("apiKey") else {
        return FileFetch.missing("apiKey")
      }
      let login = "Basic " + Base64.encode(Array("\(email):\(key)".utf8))
      return .call(
        APIRequest("GET", "\(server)/api/v1\(link[start.lowerBound...])").adding("Authorization", login))
    }
    guard answers.count == 1, answer.isSuccess, let path = answer.json?["url"]?.string, path.hasPrefix("/")
    else {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["msg"]?.string))
    }
    return .download(APIRequest("GET", server + path))
  }
}
