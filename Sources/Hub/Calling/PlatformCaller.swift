import Bytes
package import HTTPClient
import HTTPWire
import JSON
package import Messaging
package import Platforms

/// Why a call of a platform has no answer.
package enum CallFault: Error, Sendable, Equatable {
  /// Nothing of it arrived: it may be made again.
  case notSent(String)
  /// It may have arrived.
  case unanswered(String)
  /// A file that goes with it cannot be had.
  case file(String)
  /// The files that go with it are too large together, whoever asks and whenever.
  case tooLarge(String)
}

/// Carries out the calls that platforms describe, over the shard's HTTP client.
package struct PlatformCaller: Sendable {
  private static let answerBytesMax = 16 << 20
  /// Of a body that is made in memory from files: one of the largest in base64, and what stands around it.
  private var bodyBytesMax: Int { Base64.encodedCount(fileBytesMax) + (1 << 20) }

  package let client: HTTPClient
  package let files: any FileStore
  /// Whether files that users name by URL may be on this machine or its network.
  package let allowsPrivateAddresses: Bool
  /// The largest of those files.
  package let fileBytesMax: Int

  package init(client: HTTPClient, files: any FileStore, allowsPrivateAddresses: Bool, fileBytesMax: Int) {
    self.client = client
    self.files = files
    self.allowsPrivateAddresses = allowsPrivateAddresses
    self.fileBytesMax = fileBytesMax
  }

  /// - Parameter attached: what `file` parts of the body refer to.
  package func call(
    _ request: APIRequest, attached: [OutboundFile] = []
  ) async throws(CallFault) -> APIAnswer {
    var outgoing = try head(request)
    try await addBody(request.body, attached, to: &outgoing)
    do throws(HTTPClientError) {
      let response = try await client.send(outgoing)
      return APIAnswer(
        status: response.status.code,
        headers: response.headers.fields.map { APIField($0.name, $0.value) }, body: response.body)
    } catch {
      switch error {
      case .notSent(let reason): throw .notSent("\(reason)")
      case .unanswered(let reason): throw .unanswered("\(reason)")
      }
    }
  }

  /// The request without its body.
  func head(_ request: APIRequest) throws(CallFault) -> HTTPClientRequest {
    do throws(HTTPClientError) {
      var outgoing = try HTTPClientRequest(HTTPMethod(request.method), request.url)
      for field in request.headers { outgoing.headers.add(field.name, field.value) }
      outgoing.timeout = .seconds(request.timeoutSeconds)
      outgoing.isLongLived = request.isLongLived
      outgoing.responseBytesMax = Self.answerBytesMax
      return outgoing
    } catch {
      throw .notSent("\(error)")
    }
  }

  private func addBody(
    _ body: APIRequest.Body, _ attached: [OutboundFile], to request: inout HTTPClientRequest
  ) async throws(CallFault) {
    switch body {
    case .none: break
    case .json(let value): request.setJSON(value.encoded())
    case .jsonWithFiles(let document, let places):
      request.setJSON(try await joined(APIPiece.pieces(of: document, files: places), attached))
    case .form(let fields): request.setForm(fields.map { ($0.name, $0.value) })
    case .bytes(let bytes, let type):
      request.headers.set("Content-Type", type)
      request.body = bytes
    case .file(let index, let type):
      request.headers.set("Content-Type", type)
      request.body = try await content(index, attached)
    case .multipart(let parts):
      var form = MultipartWriter(random: (.random(in: .min ... .max), .random(in: .min ... .max)))
      for part in parts {
        switch part.content {
        case .text(let text): form.add(part.name, text)
        case .file(let index):
          form.add(
            part.name, file: try await content(index, attached), fileName: part.filename ?? "file",
            type: part.type ?? "application/octet-stream")
        }
      }
      request.setMultipart(form)
    }
  }

  /// One file after the other, so that beside the body only one is in memory.
  private func joined(
    _ pieces: [APIPiece], _ attached: [OutboundFile]
  ) async throws(CallFault) -> [UInt8] {
    var body: [UInt8] = []
    for piece in pieces {
      switch piece {
      case .bytes(let bytes): body += bytes
      case .base64(let index):
        let bytes = try await content(index, attached)
        guard body.count + Base64.encodedCount(bytes.count) <= bodyBytesMax else {
          throw .tooLarge("the files are too large together")
        }
        Base64.append(bytes, to: &body)
      }
    }
    return body
  }

  private func content(_ index: Int, _ attached: [OutboundFile]) async throws(CallFault) -> [UInt8] {
    guard attached.indices.contains(index) else { throw .file("there is no file \(index)") }
    return try await content(of: attached[index])
  }

  /// What a file holds.
  func content(of file: OutboundFile) async throws(CallFault) -> [UInt8] {
    if !file.storageKey.isEmpty {
      do {
        return try await files.read(file.storageKey)
      } catch {
        throw .file("'\(file.name)' cannot be read: \(error)")
      }
    }
    guard let url = file.publicURL else { throw .file("'\(file.name)' has no content") }
    return try await download(url, file.name)
  }

  private func download(_ url: String, _ name: String) async throws(CallFault) -> [UInt8] {
    do throws(HTTPClientError) {
      var request = try HTTPClientRequest(.get, url)
      request.addressPolicy = allowsPrivateAddresses ? .any : .publicOnly
      request.redirectsMax = 3
      request.responseBytesMax = fileBytesMax
      let response = try await client.send(request)
      guard response.status.code == 200 else {
        throw .notSent(.proxyRefused(status: response.status.code))
      }
      return response.body
    } catch {
      if case .notSent(.proxyRefused(let status)) = error {
        throw .file("'\(name)' cannot be fetched: its server answered \(status)")
      }
      throw .file("'\(name)' cannot be fetched: \(error)")
    }
  }
}
