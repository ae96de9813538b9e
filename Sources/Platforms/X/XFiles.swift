import JSON
import Messaging

/// Media of direct messages wants the user's token; other media is public.
extension XPlatform: FilePlatform {
  private static let hosts = ["ton.twitter.com", "ton.x.com", "api.x.com", "api.twitter.com"]

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last { return .failed(FileFetch.failure(answer, file)) }
    guard let url = file.attachment.url else { return .failed(FileFetch.nothing) }
    let request = APIRequest("GET", url)
    guard FileFetch.isTrusted(url, Self.hosts, file.secrets) else { return .download(request) }
    guard let token = file.token ?? file.secrets.first("accessToken") else {
      return FileFetch.missing("accessToken")
    }
    return .download(request.bearer(token))
  }
}
