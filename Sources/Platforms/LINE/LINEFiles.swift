import JSON
import Messaging

/// Content is fetched by the message's id; 202 while LINE still converts it. What the sender keeps elsewhere
/// has a link. https://developers.line.biz/en/reference/messaging-api/#get-content
extension LINEPlatform: FilePlatform {
  private static let tokenField = "channelAccessToken"

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["message"]?.string))
    }
    if let url = file.attachment.url { return .download(APIRequest("GET", url)) }
    guard let id = file.attachment.externalID.map(APIRequest.element) else {
      return .failed(FileFetch.nothing)
    }
    if file.attachment.kind == .sticker {
      let address = file.secrets.apiURL("https://stickershop.line-scdn.net")
      return .download(APIRequest("GET", "\(address)/stickershop/v1/sticker/\(id)/android/sticker.png"))
    }
    guard let token = file.token ?? file.secrets.first(Self.tokenField) else {
      return FileFetch.missing(Self.tokenField)
    }
    let address = file.secrets.apiURL("https://api-data.line.me")
    return .download(APIRequest("GET", "\(address)/v2/bot/message/\(id)/content").bearer(token))
  }
}
