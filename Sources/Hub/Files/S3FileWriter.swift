import EventLoop
import HTTPClient
import HTTPWire

/// An object on its way: in one piece when it is small, otherwise as a multipart upload, so that a part at
/// most is in memory. https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
actor S3FileWriter: FileWriter {
  /// S3 wants at least 5 MiB in all parts but the last.
  private static let partBytes = 8 << 20

  nonisolated let loop: EventLoop
  private let store: S3FileStore
  private let key: String
  private var buffer: [UInt8] = []
  private var upload: String?
  private var tags: [String] = []

  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  init(store: S3FileStore, key: String, loop: EventLoop) {
    self.store = store
    self.key = key
    self.loop = loop
  }

  func write(_ bytes: [UInt8]) async throws {
    buffer += bytes
    while buffer.count > Self.partBytes {
      let part = Array(buffer.prefix(Self.partBytes))
      buffer.removeFirst(part.count)
      try await send(part)
    }
  }

  func finish() async throws {
    guard let upload else {
      return try S3FileStore.check(try await store.send(.put, key, body: buffer))
    }
    if !buffer.isEmpty { try await send(buffer) }
    buffer = []
    let parts = tags.enumerated().map { number, tag in
      "<Part><PartNumber>\(number + 1)</PartNumber><ETag>\(tag)</ETag></Part>"
    }
    let body = "<CompleteMultipartUpload>\(parts.joined())</CompleteMultipartUpload>"
    let response = try await store.send(
      .post, key, query: [("uploadId", upload)], fields: [("content-type", "application/xml")],
      body: Array(body.utf8))
    try S3FileStore.check(response)
    // It may answer 200 and fail all the same.
    if let code = S3FileStore.element("Code", of: response.text) {
      throw FileStoreError.refused(status: response.status.code, code: code)
    }
  }

  func cancel() async {
    buffer = []
    guard let upload else { return }
    _ = try? await store.send(.delete, key, query: [("uploadId", upload)])
    self.upload = nil
  }

  private func send(_ part: [UInt8]) async throws {
    let upload = try await started()
    let response = try await store.send(
      .put, key, query: [("partNumber", "\(tags.count + 1)"), ("uploadId", upload)], body: part)
    try S3FileStore.check(response)
    guard let tag = response.headers["etag"] else {
      throw FileStoreError.refused(status: response.status.code, code: "without an ETag")
    }
    tags.append(tag)
  }

  private func started() async throws -> String {
    if let upload { return upload }
    let response = try await store.send(.post, key, query: [("uploads", "")])
    try S3FileStore.check(response)
    guard let id = S3FileStore.element("UploadId", of: response.text) else {
      throw FileStoreError.refused(status: response.status.code, code: "without an UploadId")
    }
    upload = id
    return id
  }
}
