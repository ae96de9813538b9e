import JSON
import Messaging

/// Pictures have a link of their own; what else people send is had by its media id, which is good for three
/// days. The interface answers 200 always: JSON is a refusal, or says where a video lies.
/// https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/Get_temporary_materials.html
extension WeChatPlatform: FilePlatform {
  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    var answers = answers[...]
    if let url = file.attachment.url {
      guard let refusal = answers.popFirst() else { return .download(APIRequest("GET", url)) }
      if file.attachment.externalID == nil || file.token == nil {
        return .failed(FileFetch.failure(refusal, file))
      }
    }
    guard let id = file.attachment.externalID else { return .failed(FileFetch.nothing) }
    guard let token = file.token else { return FileFetch.missing(WeChatAPI.secretField) }
    guard let answer = answers.popFirst() else {
      let url = "\(file.secrets.apiURL(WeChatAPI.address))/cgi-bin/media/get"
      let query = [("access_token", token), ("media_id", id)]
      return .downloadOrAnswer(APIRequest("GET", APIRequest.url(url, query)))
    }
    if let refusal = answers.last {
      // A video may not be at its address yet when WeChat says where it is.
      return refusal.status == 404
        ? .failed(APIFailure("the video is not there yet", .later(seconds: 5)))
        : .failed(FileFetch.failure(refusal, file))
    }
    switch WeChatAPI.result(answer, isRepeatable: true, now: file.now) {
    case .failure(let failure): return .failed(failure)
    case .success(let json):
      guard let url = json["video_url"]?.string else { return .failed(FileFetch.nothing) }
      return .download(APIRequest("GET", url))
    }
  }
}
