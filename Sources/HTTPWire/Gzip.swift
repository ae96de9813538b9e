import CZlib

/// gzip (RFC 1952) as a content coding, by zlib.
package enum Gzip {
  /// Compresses in one piece; nil when zlib cannot (out of memory).
  package static func compress(_ bytes: [UInt8]) -> [UInt8]? {
    guard bytes.count <= Int(UInt32.max) / 2 else { return nil }
    var stream = z_stream()
    // 31: the largest window, with gzip's header and trailer. 8: zlib's usual memory. The fastest level,
    // because this runs on a loop that others wait for, and JSON shrinks well at any.
    guard hub_deflateInit(&stream, Z_BEST_SPEED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK else { return nil }
    defer { deflateEnd(&stream) }
    let bound = Int(deflateBound(&stream, UInt(bytes.count)))
    var isWhole = false
    let output = [UInt8](unsafeUninitializedCapacity: bound) { output, count in
      bytes.withUnsafeBufferPointer { input in
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        stream.avail_in = UInt32(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(bound)
        isWhole = deflate(&stream, Z_FINISH) == Z_STREAM_END
        count = isWhole ? bound - Int(stream.avail_out) : 0
      }
    }
    return isWhole ? output : nil
  }
}

extension HTTPResponse {
  /// Compresses the body with gzip when the client takes it and it is worth it, and says so.
  /// - Parameter bytesMin: smaller bodies stay as they are.
  package mutating func compress(for request: HTTPRequestHead, bytesMin: Int) {
    guard case .bytes(let bytes) = body, bytes.count >= bytesMin else { return }
    headers.add("Vary", "Accept-Encoding")
    guard request.accepts(coding: "gzip"), !headers.contains("content-encoding"),
      let small = Gzip.compress(bytes), small.count < bytes.count
    else { return }
    body = .bytes(small)
    headers.set("Content-Encoding", "gzip")
  }
}

extension HTTPRequestHead {
  /// Whether Accept-Encoding names a coding and does not forbid it by a weight of nought (RFC 9110
  /// section 12.5.3).
  package func accepts(coding: String) -> Bool {
    for field in headers.all("accept-encoding") {
      for part in field.split(separator: ",") {
        let pieces = part.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
        guard pieces.first == coding else { continue }
        let weight = pieces.dropFirst().first { $0.hasPrefix("q=") }?.dropFirst(2)
        return weight.flatMap { Double($0) } ?? 1 > 0
      }
    }
    return false
  }
}
