import JSON
import Messaging

/// Uploaded content is fetched by its resource name; what lies in Drive is not the app's to read.
/// https://developers.google.com/workspace/chat/download-media-attachments
extension GoogleChatPlatform: FilePlatform {
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["error"]?["message"]?.string))
    }
    guard let name = file.attachment.externalID else { return FileFetch.plain(file, after: answers) }
    guard let token = file.token else {
      return .failed(APIFailure("the account has no service account key, which fetching files needs"))
    }
    let address = file.secrets.apiURL("https://chat.googleapis.com")
    let path = name.split(separator: "/").map { APIRequest.element(String($0)) }.joined(separator: "/")
    return .download(APIRequest("GET", "\(address)/v1/media/\(path)?alt=media").bearer(token))
  }
}
