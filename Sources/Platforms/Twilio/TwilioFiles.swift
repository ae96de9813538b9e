import Bytes
import JSON
import Messaging

/// Media links want the account's basic authentication and lead on to a store. Those of Conversations are
/// asked for by their id. https://www.twilio.com/docs/messaging/api/media-resource
extension TwilioPlatform: FilePlatform {
  private static let hosts = ["twilio.com"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last, !answer.isSuccess { return .failed(FileFetch.failure(answer, file)) }
    guard let url = file.attachment.url else { return ofConversation(file, after: answers) }
    let request = APIRequest("GET", url)
    guard FileFetch.isTrusted(url, Self.hosts, file.secrets) else { return .download(request) }
    guard let login = Self.login(file.secrets) else { return FileFetch.missing("accountSid") }
    return .download(request.adding("Authorization", login))
  }

  private func ofConversation(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last {
      guard let url = answer.json?["links"]?["content_direct_temporary"]?.string else {
        return .failed(FileFetch.nothing)
      }
      return .download(APIRequest("GET", url))
    }
    guard let id = file.attachment.externalID, let service = file.details?["ChatServiceSid"]?.string else {
      return .failed(FileFetch.nothing)
    }
    guard let login = Self.login(file.secrets) else { return FileFetch.missing("accountSid") }
    let address = file.secrets.apiURL("https://mcs.us1.twilio.com")
    let path = "/v1/Services/\(APIRequest.element(service))/Media/\(APIRequest.element(id))"
    return .call(APIRequest("GET", address + path).adding("Authorization", login))
  }

  private static func login(_ secrets: AccountSecrets) -> String? {
    guard let account = secrets.first("accountSid"), let token = secrets.first("authToken") else {
      return nil
    }
    return "Basic " + Base64.encode(Array("\(account):\(token)".utf8))
  }
}
