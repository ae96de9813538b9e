import JSON
import Messaging

/// Media has an `mxc` address; the homeserver fetches it from wherever it is. Servers before Matrix 1.11 have
/// the older endpoint only.
/// https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
extension MatrixPlatform: FilePlatform {
  private static let scheme = "mxc://"

  func fetch(_ file: FileJob, after answers: [APIAnswer]) -> FileStep {
    // Every account has a service token, but only a service's is known to the homeserver.
    let fields = [MatrixAPI.accessTokenField, MatrixAPI.serviceTokenField]
    guard let token = fields.lazy.compactMap({ file.secrets.first($0) }).first else {
      return FileFetch.missing(MatrixAPI.accessTokenField)
    }
    guard let server = file.secrets.serverURL(MatrixAPI.homeserverField) else {
      return FileFetch.missing(MatrixAPI.homeserverField)
    }
    if file.details?["file"]?["key"] != nil {
      return .failed(APIFailure("the file is encrypted end to end; the hub has no key of the conversation"))
    }
    guard let address = file.attachment.externalID, address.hasPrefix(Self.scheme) else {
      return .failed(FileFetch.nothing)
    }
    let parts = address.dropFirst(Self.scheme.count).split(separator: "/", maxSplits: 1)
    guard parts.count == 2 else { return .failed(FileFetch.nothing) }
    let place = parts.map { APIRequest.element(String($0)) }.joined(separator: "/")
    guard let answer = answers.last else {
      return .download(
        APIRequest("GET", "\(server)/_matrix/client/v1/media/download/\(place)", timeoutSeconds: 60).bearer(
          token))
    }
    let isUnknown = answer.json?["errcode"]?.string == "M_UNRECOGNIZED" || answer.status == 405
    if answers.count == 1 && isUnknown {
      return .download(APIRequest("GET", "\(server)/_matrix/media/v3/download/\(place)").bearer(token))
    }
    return .failed(FileFetch.failure(answer, file, reason: answer.json?["error"]?.string))
  }
}
