import Hub
import Messaging
import Testing

@Suite("What files are")
struct FileCheckTests {
  private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test(
    "first bytes tell the type",
    arguments: [
      ([0xff, 0xd8, 0xff, 0xe0], "image/jpeg"),
      ([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], "image/png"),
      (bytes("GIF89a"), "image/gif"), (bytes("RIFF....WEBPVP8 "), "image/webp"),
      (bytes("RIFF....WAVEfmt "), "audio/wav"), (bytes("RIFF....AVI LIST"), "video/x-msvideo"),
      (bytes("....ftypisom...."), "video/mp4"), (bytes("....ftypM4A ...."), "audio/mp4"),
      (bytes("....ftypheic...."), "image/heic"), (bytes("....ftypavif...."), "image/avif"),
      (bytes("....ftyp3gp4...."), "video/3gpp"), (bytes("....ftypqt  ...."), "video/quicktime"),
      ([0x1a, 0x45, 0xdf, 0xa3] + bytes("....webm"), "video/webm"),
      (bytes("OggS............OpusHead"), "audio/ogg"), (bytes("OggS............\u{1}theora"), "video/ogg"),
      (bytes("ID3\u{4}"), "audio/mpeg"), ([0xff, 0xfb, 0x90, 0x64], "audio/mpeg"),
      ([0xff, 0xf1, 0x50, 0x80], "audio/aac"), (bytes("#!AMR\n"), "audio/amr"),
      (bytes("%PDF-1.7"), "application/pdf"),
      (bytes("PK\u{3}\u{4}"), "application/zip"), (bytes("<!DOCTYPE HTML>"), "text/html"),
      (bytes(" \n\t<HTML>"), "text/html"), (bytes("<!-- x --><script>"), "text/html"),
      (bytes("\u{feff}<html>"), "text/html"), (bytes("<svg onload=x>"), "image/svg+xml"),
      (bytes("<?xml version='1.0'?><svg>"), "image/svg+xml"),
      (bytes("<?xml version='1.0'?><a/>"), "text/xml"),
    ] as [([UInt8], String)])
  func signatures(head: [UInt8], type: String) {
    #expect(MediaSignature.type(of: head) == type)
  }

  @Test(
    "what is not known is not guessed", arguments: ["", "hello", "a < b", "{}", "BM", "RIFF", "....ftyp"])
  func unknown(text: String) {
    #expect(MediaSignature.type(of: Self.bytes(text)) == nil)
  }

  @Test(
    "a type is what the bytes say, or what can do no harm",
    arguments: [
      (
        Messaging.Attachment.Kind.image, "image/jpeg", [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
        "image/png"
      ),
      (.image, nil, [0xff, 0xd8, 0xff], "image/jpeg"),
      (.image, "image/png", bytes("???"), "application/octet-stream"),
      (.audio, "audio/ogg; codecs=opus", bytes("OggS....OpusHead"), "audio/ogg"),
      (.audio, "audio/mp4", bytes("....ftypisom"), "audio/mp4"),
      (.audio, nil, bytes("....ftypisom"), "video/mp4"),
      (.video, nil, bytes("GIF89a"), "image/gif"), (.file, "text/csv", bytes("a;b"), "text/csv"),
      (.file, "text/html", bytes("no page"), "application/octet-stream"),
      (.file, "text/html", bytes("<html>"), "text/html"),
      (.file, "a b", bytes("x"), "application/octet-stream"),
      (.file, "x\r\ny/z", bytes("x"), "application/octet-stream"),
      (
        .file, "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        bytes("PK\u{3}\u{4}"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
      ),
      (.sticker, "application/x-tgsticker", [0x1f, 0x8b, 0x08], "application/x-tgsticker"),
    ] as [(Messaging.Attachment.Kind, String?, [UInt8], String)])
  func types(kind: Messaging.Attachment.Kind, claimed: String?, head: [UInt8], type: String) throws {
    #expect(try FileCheck.type(kind, claimed: claimed, name: nil, head: head) == type)
  }

  @Test(
    "what is something else is refused",
    arguments: [
      (Messaging.Attachment.Kind.image, "image/png", "<html>"), (.image, "image/png", "<svg>"),
      (.image, nil, "%PDF-"),
      (.audio, "audio/mpeg", "GIF89a"), (.video, "video/mp4", "ID3"), (.sticker, nil, "<html>"),
      (.file, "application/pdf", "<!doctype html>"), (.file, nil, "<html>"),
    ] as [(Messaging.Attachment.Kind, String?, String)])
  func mismatches(kind: Messaging.Attachment.Kind, claimed: String?, text: String) {
    #expect(throws: FileCheck.Mismatch.self) {
      try FileCheck.type(kind, claimed: claimed, name: nil, head: Self.bytes(text))
    }
  }

  @Test(
    "nothing that runs is shown",
    arguments: [
      "text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "text/javascript", "text/plain",
    ])
  func shown(type: String) {
    #expect(!FileCheck.isShown(type))
  }
}
