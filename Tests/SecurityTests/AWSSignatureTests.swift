// The examples of "Signature Calculations for the Authorization Header" in the Amazon S3 API reference, and of the
// Signature Version 4 test suite.

import Bytes
import Security
import Testing

@Suite("AWS Signature Version 4")
struct AWSSignatureTests {
  private static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  private static let host = "examplebucket.s3.amazonaws.com"
  private static let date = "20130524T000000Z"

  private let s3 = AWSSignature(
    accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    region: "us-east-1", service: "s3")

  private func signature(_ request: AWSSignature.Request, date: String = date) -> String {
    String(s3.authorization(request, date: date).suffix(64))
  }

  private func headers(_ more: [(name: String, value: String)] = [], hash: String = emptyHash)
    -> [(name: String, value: String)]
  {
    [("Host", Self.host), ("x-amz-date", Self.date), ("x-amz-content-sha256", hash)] + more
  }

  @Test("a part of an object is asked for")
  func getObject() {
    let request = AWSSignature.Request(
      method: "GET", path: "/test.txt", headers: headers([("Range", "bytes=0-9")]),
      payloadHash: Self.emptyHash)
    #expect(
      s3.authorization(request, date: Self.date)
        == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        + "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        + "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
  }

  @Test("an object is stored under a name that has to be encoded")
  func putObject() {
    let hash = Hex.encode(Digest.sha256(Array("Welcome to Amazon S3.".utf8)))
    let more = [
      (name: "Date", value: "Fri, 24 May 2013 00:00:00 GMT"),
      (name: "x-amz-storage-class", value: "REDUCED_REDUNDANCY"),
    ]
    let request = AWSSignature.Request(
      method: "PUT", path: "/test%24file.text", headers: headers(more, hash: hash), payloadHash: hash)
    #expect(signature(request) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
  }

  @Test("a query without a value is signed")
  func lifecycle() {
    let request = AWSSignature.Request(
      method: "GET", path: "/", query: [("lifecycle", "")], headers: headers(), payloadHash: Self.emptyHash)
    #expect(signature(request) == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
  }

  @Test("a query is signed in the order of its names")
  func list() {
    let request = AWSSignature.Request(
      method: "GET", path: "/", query: [("prefix", "J"), ("max-keys", "2")], headers: headers(),
      payloadHash: Self.emptyHash)
    #expect(signature(request) == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
  }

  @Test("the plainest request of the test suite")
  func vanilla() {
    let signer = AWSSignature(
      accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", region: "us-east-1",
      service: "service")
    let request = AWSSignature.Request(
      method: "GET", path: "/",
      headers: [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")],
      payloadHash: Self.emptyHash)
    #expect(
      signer.authorization(request, date: "20150830T123600Z").suffix(64)
        == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
  }
}
