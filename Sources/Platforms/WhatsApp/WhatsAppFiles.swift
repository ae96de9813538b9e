import JSON
import Messaging

/// A media id is asked for its address, which is good for five minutes and wants the token too.
/// https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media
extension WhatsAppPlatform: FilePlatform {
  private static let tokenField = "accessToken"
  private static let hosts = ["fbsbx.com", "facebook.com", "fbcdn.net", "whatsapp.net"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    guard let token = file.token ?? file.secrets.first(Self.tokenField) else {
      return FileFetch.missing(Self.tokenField)
    }
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    guard let answer = answers.last else {
      let address = file.secrets.apiURL("https://graph.facebook.com")
      return .call(APIRequest("GET", "\(address)/v25.0/\(APIRequest.element(id))").bearer(token))
    }
    guard answers.count == 1, answer.isSuccess else {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["error"]?["message"]?.string))
    }
    guard let url = answer.json?["url"]?.string, FileFetch.isTrusted(url, Self.hosts, file.secrets) else {
      return .failed(APIFailure("the platform gave no address of the media that the token may be sent to"))
    }
    return .download(APIRequest("GET", url).bearer(token))
  }
}
