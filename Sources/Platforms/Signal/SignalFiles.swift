import Bytes
import JSON
import Messaging

/// signal-cli keeps the files of messages that it received: signal-cli-rest-api serves them by their id, the
/// daemon gives them in base64 (man/signal-cli.1.adoc: `getAttachment`, `getSticker`).
extension SignalPlatform: FilePlatform {
  /// What the daemon can give within an answer, which has 16 MiB at most.
  private static let answerFileBytesMax: Int64 = 11 << 20

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    guard file.secrets.server(SignalAPI.serverField) != nil else {
      return FileFetch.missing(SignalAPI.serverField)
    }
    if SignalDaemon.isUsed(file.secrets) { return ofDaemon(id, file, answers.last) }
    guard file.attachment.kind != .sticker else {
      return .failed(APIFailure("signal-cli-rest-api does not give the pictures of stickers"))
    }
    if let answer = answers.last {
      return .failed(FileFetch.failure(answer, file, reason: answer.json?["error"]?.string))
    }
    return .download(SignalAPI.call("GET", "/v1/attachments/\(APIRequest.element(id))", file.secrets))
  }

  private func ofDaemon(_ id: String, _ file: FileJob, _ answer: APIAnswer?) -> FileStep {
    guard let answer else {
      guard file.secrets.first(SignalAPI.numberField) != nil else {
        return FileFetch.missing(SignalAPI.numberField)
      }
      guard file.attachment.sizeBytes ?? 0 <= Self.answerFileBytesMax else {
        return .failed(APIFailure("the file is too large to be had from signal-cli's daemon"))
      }
      return SignalDaemon.file(id, file).map { .call($0) } ?? .failed(FileFetch.nothing)
    }
    switch SignalDaemon.result(answer, isDirect: false, isRepeatable: true, now: file.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let result):
      guard let bytes = result["data"]?.string.flatMap({ Base64.decode($0) }) else {
        return .failed(APIFailure("signal-cli's daemon gave no base64 of the file"))
      }
      return .content(bytes)
    }
  }
}
