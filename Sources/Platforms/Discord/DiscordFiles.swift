import JSON
import Messaging

/// Links are signed and end after a day; the API gives new ones. Stickers have an id only.
/// https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
extension DiscordPlatform: FilePlatform {
  private static let tokenField = "botToken"

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    guard let url = file.attachment.url else { return sticker(file, after: answers) }
    guard let answer = answers.last else { return .download(APIRequest("GET", url)) }
    switch answers.count {
    case 1:
      guard [403, 404].contains(answer.status), let token = file.secrets.first(Self.tokenField) else {
        return .failed(FileFetch.failure(answer, file))
      }
      let address = file.secrets.apiURL("https://discord.com/api/v10")
      return .call(
        APIRequest(
          "POST", "\(address)/attachments/refresh-urls", body: .json(["attachment_urls": [.string(url)]]),
          isRepeatable: true
        ).adding("Authorization", "Bot \(token)"))
    case 2:
      guard answer.isSuccess, let fresh = answer.json?["refreshed_urls"]?.array?.first?["refreshed"]?.string
      else { return .failed(FileFetch.failure(answer, file)) }
      return .download(APIRequest("GET", fresh))
    default: return .failed(FileFetch.failure(answer, file))
    }
  }

  private func sticker(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    if let answer = answers.last { return .failed(FileFetch.failure(answer, file)) }
    guard file.attachment.kind == .sticker, let id = file.attachment.externalID else {
      return .failed(FileFetch.nothing)
    }
    let address = file.secrets.apiURL("https://cdn.discordapp.com")
    return .download(APIRequest("GET", "\(address)/stickers/\(APIRequest.element(id)).png"))
  }
}
