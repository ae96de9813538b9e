import Bytes
package import HTTPClient
import HTTPWire
import Security

/// How to reach an S3-compatible store.
package struct S3Settings: Sendable, Equatable {
  /// Scheme and host; the bucket stands in the path.
  package var endpoint: String
  package var bucket: String
  package var region: String
  package var accessKey: String
  package var secretKey: String

  package init(endpoint: String, bucket: String, region: String, accessKey: String, secretKey: String) {
    self.endpoint = endpoint
    self.bucket = bucket
    self.region = region
    self.accessKey = accessKey
    self.secretKey = secretKey
  }
}

/// Files as objects of one bucket, by path-style addresses and Signature Version 4. Objects are private and
/// have no type of their own: nobody but the hub serves them.
package struct S3FileStore: FileStore {
  package let sliceBytes = 2 << 20
  private static let answerBytesMax = 4 << 20

  private let settings: S3Settings
  private let client: HTTPClient
  private let clock: WallClock
  private let signature: AWSSignature

  package init(_ settings: S3Settings, client: HTTPClient, clock: WallClock) {
    self.settings = settings
    self.client = client
    self.clock = clock
    signature = AWSSignature(
      accessKey: settings.accessKey, secretKey: settings.secretKey, region: settings.region, service: "s3")
  }

  package func writer(_ key: String) async throws -> any FileWriter {
    guard FileKey.isValid(key) else { throw FileStoreError.invalidKey }
    return S3FileWriter(store: self, key: key, loop: client.loop)
  }

  package func size(_ key: String) async throws -> Int64? {
    let response = try await send(.head, key)
    if response.status.code == 404 { return nil }
    try Self.check(response)
    guard let size = response.headers["content-length"].flatMap({ Int64($0) }) else {
      throw FileStoreError.refused(status: response.status.code, code: "without Content-Length")
    }
    return size
  }

  package func read(_ key: String, _ range: Range<Int64>) async throws -> [UInt8] {
    let last = min(range.upperBound, range.lowerBound + Int64(sliceBytes)) - 1
    let response = try await send(.get, key, fields: [("range", "bytes=\(range.lowerBound)-\(last)")])
    if response.status.code == 404 { throw FileStoreError.missing }
    try Self.check(response)
    guard response.status.code == 206 else {
      throw FileStoreError.refused(status: response.status.code, code: "to a range")
    }
    return response.body
  }

  package func delete(_ key: String) async throws {
    let response = try await send(.delete, key)
    if response.status.code != 404 { try Self.check(response) }
  }

  // MARK: Calls

  /// - Parameter fields: further headers, in lower case; they are signed.
  func send(
    _ method: HTTPMethod, _ key: String, query: [(name: String, value: String)] = [],
    fields: [(name: String, value: String)] = [], body: [UInt8] = []
  ) async throws -> HTTPClientResponse {
    guard FileKey.isValid(key) else { throw FileStoreError.invalidKey }
    let path = "/\(AWSSignature.encoded(settings.bucket))/\(key)"
    let pairs = query.map { "\(AWSSignature.encoded($0.name))=\(AWSSignature.encoded($0.value))" }
    let target = path + (pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&"))
    do throws(HTTPClientError) {
      var request = try HTTPClientRequest(method, settings.endpoint + target, body: body)
      let hash = Hex.encode(Digest.sha256(body))
      let date = Self.date(clock.now())
      let own: [(name: String, value: String)] = [
        ("host", request.url.authority), ("x-amz-content-sha256", hash), ("x-amz-date", date),
      ]
      let signed = own + fields
      for (name, value) in signed.dropFirst() { request.headers.set(name, value) }
      request.headers.set(
        "Authorization",
        signature.authorization(
          AWSSignature.Request(
            method: method.name, path: path, query: query, headers: signed, payloadHash: hash), date: date))
      request.headers.set("Accept-Encoding", "identity")
      request.responseBytesMax = Self.answerBytesMax
      request.timeout = .seconds(60)
      return try await client.send(request)
    } catch {
      throw FileStoreError.unavailable("\(error)")
    }
  }

  static func check(_ response: HTTPClientResponse) throws {
    guard !(200..<300).contains(response.status.code) else { return }
    throw FileStoreError.refused(
      status: response.status.code, code: element("Code", of: response.text) ?? "without a reason")
  }

  /// The text of the first element of this name: S3's answers are that simple.
  static func element(_ name: String, of xml: String) -> String? {
    guard let start = xml.firstRange(of: "<\(name)>"),
      let end = xml[start.upperBound...].firstRange(of: "</\(name)>")
    else { return nil }
    return String(xml[start.upperBound..<end.lowerBound])
  }

  /// As in `20150830T123600Z`.
  static func date(_ time: Timestamp) -> String {
    time.rfc3339.prefix(19).filter { $0 != "-" && $0 != ":" } + "Z"
  }
}
