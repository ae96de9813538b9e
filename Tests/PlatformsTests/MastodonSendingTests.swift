import JSON
import Messaging
import Platforms
import Testing

/// Dialogues with a Mastodon server.
@Suite struct MastodonSendingTests {
  @Test("answers as visibly as it was addressed, and to the person")
  func mastodon() throws {
    let ask = try CloudSendingTests.next("mastodon", CloudSendingTests.text, to: "7", lastInboundID: "101")
      .request
    #expect(ask?.line == "GET https://m/api/v1/statuses/101")
    let status = Dialogue.answer([
      "id": "101", "visibility": "unlisted", "account": ["id": "7", "acct": "ana@x"],
    ])
    let send = try #require(
      try CloudSendingTests.next("mastodon", CloudSendingTests.text, to: "7", [status], lastInboundID: "101")
        .request)
    #expect(send.line == "POST https://m/api/v1/statuses")
    #expect(send.json == ["status": "@ana@x hi", "visibility": "unlisted", "in_reply_to_id": "101"])
    #expect(send.header("Idempotency-Key") == "0199-key")
    let made = Dialogue.answer(["id": "102", "created_at": "2026-11-21T00:00:00.000Z"])
    #expect(
      try CloudSendingTests.next(
        "mastodon", CloudSendingTests.text, to: "7", [status, made], lastInboundID: "101")
        == .done(SendReceipt(messageID: "102", sentAt: Dialogue.now)))
  }

  @Test("looks the person up where nothing is answered, and waits for a file")
  func mastodonFiles() throws {
    let action = OutboundAction.message(OutboundMessage(kind: .image, files: [Dialogue.file()]))
    let ask = try CloudSendingTests.next("mastodon", action, to: "7").request
    #expect(ask?.line == "GET https://m/api/v1/accounts/7")
    let account = Dialogue.answer(["id": "7", "acct": "ana"])
    #expect(
      try CloudSendingTests.next("mastodon", action, to: "7", [account]).request?.line
        == "POST https://m/api/v2/media")
    let taken = Dialogue.answer(["id": "55", "url": nil], status: 202)
    let busy = Dialogue.answer(["id": "55", "url": nil], status: 206)
    let question = try #require(
      try CloudSendingTests.next("mastodon", action, to: "7", [account, taken]).request)
    #expect(question.line == "GET https://m/api/v1/media/55")
    let again = try #require(
      try CloudSendingTests.next("mastodon", action, to: "7", [account, taken, busy]).request)
    // A film is not ready at once: each question is asked later than the one before.
    #expect(question.delaySeconds > 0 && again.delaySeconds > question.delaySeconds)
    let ready = Dialogue.answer(["id": "55", "url": "https://m/a"])
    let send = try CloudSendingTests.next("mastodon", action, to: "7", [account, taken, busy, ready]).request
    #expect(send?.json == ["status": "@ana ", "visibility": "direct", "media_ids": ["55"]])
    let never = [account, taken] + Array(repeating: busy, count: 8)
    #expect(
      try CloudSendingTests.next("mastodon", action, to: "7", never).failure?.remedy == .later(seconds: 30))
  }

  @Test(
    "a status mentions whom it is for, whoever else is mentioned in it",
    arguments: [
      ("hi @ada", "hi @ada"), ("(@Ada)", "(@Ada)"), ("@ada, hi", "@ada, hi"),
      ("@adam said", "@ada @adam said"),
      ("@ada@elsewhere.example", "@ada @ada@elsewhere.example"), ("@ada_b", "@ada @ada_b"),
      ("me@ada", "@ada me@ada"), ("@adam and @ada", "@adam and @ada"), ("", "@ada "),
    ])
  func mentions(text: String, status: String) throws {
    let account = Dialogue.answer(["id": "7", "acct": "ada"])
    let action = OutboundAction.message(OutboundMessage(text: text))
    let send = try CloudSendingTests.next("mastodon", action, to: "7", [account]).request
    #expect(send?.json?["status"]?.string == status)
    let before = Dialogue.answer([
      "id": "102", "mentions": [["id": "8", "acct": "bob"], ["id": "7", "acct": "ada"]],
    ])
    let edit = OutboundAction.edit(OutboundEdit(messageID: "102", text: text))
    let put = try CloudSendingTests.next("mastodon", edit, to: "7", [before]).request
    #expect(put?.json?["status"]?.string == status)
  }

  @Test("an edit keeps the mention and the files")
  func mastodonEdit() throws {
    let edit = OutboundAction.edit(OutboundEdit(messageID: "102", text: "new"))
    let before = Dialogue.answer([
      "id": "102", "mentions": [["acct": "ana"]], "media_attachments": [["id": "55"]],
    ])
    let put = try #require(try CloudSendingTests.next("mastodon", edit, to: "7", [before]).request)
    #expect(put.line == "PUT https://m/api/v1/statuses/102")
    #expect(put.json == ["status": "@ana new", "media_ids": ["55"]])
    #expect(try CloudSendingTests.next("mastodon", edit, to: "7", [before, before]) == .done(SendReceipt()))
  }
}
