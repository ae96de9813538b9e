import Bytes
import JSON
import Messaging

/// Files of mail that Mailgun stores want the account's key; all others came with the mail.
/// https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/store-retreive
extension MailgunPlatform: FilePlatform {
  private static let hosts = ["mailgun.net"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last { return .failed(FileFetch.failure(answer, file)) }
    guard let url = file.attachment.url else { return .failed(FileFetch.nothing) }
    guard FileFetch.isTrusted(url, Self.hosts, file.secrets) else {
      return .failed(APIFailure("the link of the file does not lead to Mailgun"))
    }
    guard let key = file.secrets.first(Self.apiKeyField) else { return FileFetch.missing(Self.apiKeyField) }
    let login = "Basic " + Base64.encode(Array("api:\(key)".utf8))
    return .download(APIRequest("GET", url).adding("Authorization", login))
  }
}
