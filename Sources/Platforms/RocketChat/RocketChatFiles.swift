import JSON
import Messaging

/// Uploads are served by the workspace itself, to whoever is logged in or has an address that lets in.
extension RocketChatPlatform: FilePlatform {
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last { return .failed(FileFetch.failure(answer, file)) }
    if file.secrets.first("accessToken") == nil, file.attachment.url != nil {
      return FileFetch.plain(file, after: answers)
    }
    guard let token = file.secrets.first("accessToken") else { return FileFetch.missing("accessToken") }
    guard let user = file.secrets.first("userId") else { return FileFetch.missing("userId") }
    guard let server = file.secrets.serverURL("server") else { return FileFetch.missing("server") }
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    let name = file.attachment.name ?? "file"
    let path = "/file-upload/\(APIRequest.element(id))/\(APIRequest.element(name))"
    return .download(
      APIRequest("GET", server + path).adding("X-Auth-Token", token).adding("X-User-Id", user))
  }
}
