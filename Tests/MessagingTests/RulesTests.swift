import Bytes
import JSON
import Messaging
import Testing

@Suite struct MessageStatusTests {
  @Test("only climbs, and ends the same in any order")
  func ladder() {
    #expect(MessageStatus.queued.advanced(by: .sent) == .sent)
    #expect(MessageStatus.sent.advanced(by: .failed) == .failed)
    #expect(MessageStatus.failed.advanced(by: .sent) == .failed)
    #expect(MessageStatus.failed.advanced(by: .delivered) == .delivered)
    #expect(MessageStatus.read.advanced(by: .delivered) == .read)
    #expect(MessageStatus.delivered.advanced(by: .failed) == .delivered)
    for first in MessageStatus.allCases {
      #expect(first.advanced(by: first) == first)
      for second in MessageStatus.allCases {
        #expect(first.advanced(by: second) == second.advanced(by: first))
        for third in MessageStatus.allCases {
          #expect(
            first.advanced(by: second).advanced(by: third) == first.advanced(by: third).advanced(by: second))
        }
      }
    }
  }
}

@Suite struct UnreadModelTests {
  private func position(_ second: Int64, _ order: Int64 = 0) -> MessagePosition {
    MessagePosition(
      sentAt: Timestamp(seconds: second), order: order,
      id: UUIDv7(milliseconds: UInt64(second), counter: 0, random: UInt64(order)))
  }

  @Test("counts what lies behind the read position")
  func counts() {
    var model = UnreadModel()
    for index in 1...5 { model.insert("\(index)", at: position(Int64(index)), isInbound: index != 3) }
    model.insert("5", at: position(5), isInbound: true)
    #expect(model.unread == 4)
    model.read(upTo: "2")
    #expect(model.unread == 2)
    model.read(upTo: "1")
    #expect(model.unread == 2)
    model.insert("late", at: position(1, 7), isInbound: true)
    #expect(model.unread == 2)
    model.delete("5")
    model.delete("6")
    #expect(model.unread == 1)
    model.insert("6", at: position(6), isInbound: true)
    #expect(model.unread == 1)
    model.read(upTo: nil)
    #expect(model.unread == 0)
    model.markUnread(from: "4")
    #expect(model.unread == 1)
    model.markUnread(from: "1")
    #expect(model.unread == 4)
    #expect(model.readUpTo == nil)
  }

  @Test("orders by time, then order, then id")
  func positions() {
    #expect(position(1, 9) < position(2, 0))
    #expect(position(1, 1) < position(1, 2))
    #expect(!(position(1) < position(1)))
  }
}

@Suite struct MessageTextTests {
  @Test("replaces what cannot be stored and cuts between characters")
  func sanitising() {
    #expect(MessageText.sanitised("a\0b") == "a\u{fffd}b")
    #expect(MessageText.sanitised("plain") == "plain")
    for limit in 3...12 {
      let cut = MessageText.sanitised("grüße 👋🏽 welt", bytesMax: limit)
      #expect(cut.utf8.count <= limit)
      #expect(cut.hasSuffix("…"))
    }
    #expect(MessageText.sanitised(String(repeating: "é", count: 200_000)).utf8.count <= 256 << 10)
    #expect(MessageText.name("") == nil)
    #expect(MessageText.name(nil) == nil)
  }
}

@Suite struct PreviewTests {
  @Test("shows one line, or words")
  func lines() {
    #expect(Preview.text(kind: .text, text: " a\n\n b\t", attachments: []) == "a b")
    #expect(Preview.text(kind: .image, text: nil, attachments: []) == "Photo")
    #expect(Preview.text(kind: .image, text: "sun", attachments: []) == "Photo: sun")
    let file = Attachment(kind: .file, name: "a.pdf")
    #expect(Preview.text(kind: .file, text: nil, attachments: [file]) == "File: a.pdf")
    for kind in MessageKind.allCases {
      let long = Preview.text(kind: kind, text: String(repeating: "é ", count: 9_000), attachments: [])
      #expect(long.count <= 140)
      #expect(!Preview.text(kind: kind, text: "\n", attachments: []).isEmpty)
    }
  }
}
