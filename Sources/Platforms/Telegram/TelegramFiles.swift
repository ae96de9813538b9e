import JSON
import Messaging

/// A file is asked for by its id and then fetched by a path that is good for an hour.
/// https://core.telegram.org/bots/api#getfile
extension TelegramPlatform: FilePlatform {
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    guard let token = file.secrets.first(TelegramAPI.tokenField) else {
      return FileFetch.missing(TelegramAPI.tokenField)
    }
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    guard let answer = answers.last else {
      return .call(TelegramAPI.call("getFile", ["file_id": .string(id)], file.secrets, isRepeatable: true))
    }
    guard answers.count == 1 else { return .failed(FileFetch.failure(answer, file)) }
    switch TelegramAPI.result(answer, isRepeatable: true, now: file.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let result):
      // A Bot API server in local mode names a file of its own disk.
      guard let path = result["file_path"]?.string, !path.hasPrefix("/") else {
        return .failed(APIFailure("the Bot API server gives no path that can be fetched"))
      }
      let address = file.secrets.apiURL(TelegramAPI.address)
      let elements = path.split(separator: "/").map { APIRequest.element(String($0)) }.joined(separator: "/")
      return .download(APIRequest("GET", "\(address)/file/bot\(token)/\(elements)"))
    }
  }
}
