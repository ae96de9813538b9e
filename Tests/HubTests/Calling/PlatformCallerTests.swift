import Bytes
import EventLoop
import JSON
import Messaging
import Platforms
import Testing

@testable import Hub

@Suite("Calls of platforms") struct PlatformCallerTests {
  private static func file(_ key: String) -> OutboundFile {
    OutboundFile(kind: .file, name: "a", mimeType: "a/b", sizeBytes: 1, storageKey: key)
  }

  @Test("files stand in a document as base64, behind what stands there already")
  func documents() async throws {
    let contents = (0..<2_000).map { UInt8(truncatingIfNeeded: $0) }
    let heard = try await CallingFixture.run(files: ["k1": contents, "k2": [1]]) { fixture in
      let url = try fixture.serve { socket, request in
        let body = request.split(separator: "\r\n\r\n", maxSplits: 1).last.map(String.init) ?? ""
        socket.say("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
      }
      let request = APIRequest(
        "POST", url,
        body: .jsonWithFiles(
          ["text": "x", "files": ["data:;base64,", ""]],
          [APIFilePlace(["files", "0"], file: 0), APIFilePlace(["files", "1"], file: 1)]))
      return try await fixture.caller.call(request, attached: [Self.file("k1"), Self.file("k2")])
    }
    #expect(
      heard.json == [
        "text": "x", "files": [.string("data:;base64," + Base64.encode(contents)), "AQ=="],
      ])
  }

  @Test("what is missing, or too large together, is told before anything is sent")
  func faults() async throws {
    let large = [UInt8](repeating: 7, count: 45 << 20)
    let (missing, tooLarge) = try await CallingFixture.run(files: ["large": large]) { fixture in
      func fault(_ files: [OutboundFile]) async -> CallFault? {
        let places = files.indices.map { APIFilePlace(["\($0)"], file: $0) }
        let body = JSONValue.array(files.map { _ in "" })
        let request = APIRequest("POST", "http://127.0.0.1:9", body: .jsonWithFiles(body, places))
        do throws(CallFault) {
          _ = try await fixture.caller.call(request, attached: files)
          return nil
        } catch {
          return error
        }
      }
      return (await fault([Self.file("none")]), await fault([Self.file("large"), Self.file("large")]))
    }
    guard case .file? = missing else {
      Issue.record("\(String(describing: missing))")
      return
    }
    #expect(tooLarge == .tooLarge("the files are too large together"))
  }
}
