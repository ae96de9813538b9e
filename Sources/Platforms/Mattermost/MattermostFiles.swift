import JSON
import Messaging

/// https://developers.mattermost.com/api-documentation/#/operations/GetFile
extension MattermostPlatform: FilePlatform {
  private static let accessField = "accessToken"

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["message"]?.string))
    }
    guard let token = file.secrets.first(Self.accessField) else { return FileFetch.missing(Self.accessField) }
    guard let server = file.secrets.serverURL("server") else { return FileFetch.missing("server") }
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    return .download(APIRequest("GET", "\(server)/api/v4/files/\(APIRequest.element(id))").bearer(token))
  }
}
