import Testing

@testable import WebSocketWire

@Suite("Negotiating permessage-deflate")
struct PerMessageDeflateTests {
  private typealias Policy = PerMessageDeflate.Policy

  private func response(_ offers: String..., policy: PerMessageDeflate.Policy = .frugal) -> String? {
    PerMessageDeflate.negotiate(offers: offers, policy: policy)?.response
  }

  @Test("A frugal server keeps no context, whatever is offered")
  func frugal() throws {
    let base = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    #expect(response("permessage-deflate") == base)
    #expect(response("x-other, permessage-deflate; client_max_window_bits") == base)
    #expect(response("x-other", "permessage-deflate") == base)
    #expect(
      response("permessage-deflate; server_max_window_bits=\"10\"") == base + "; server_max_window_bits=10")
    #expect(response("permessage-deflate;client_max_window_bits=12") == base + "; client_max_window_bits=12")
  }

  @Test(
    "As offered, every parameter is the client's choice",
    arguments: [
      "permessage-deflate",
      "permessage-deflate; server_no_context_takeover",
      "permessage-deflate; client_no_context_takeover",
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8",
      "permessage-deflate; server_max_window_bits=15; client_max_window_bits=9",
    ])
  func asOffered(offer: String) {
    #expect(response(offer, policy: .asOffered) == offer)
  }

  @Test("A client that lets the server choose its window is not limited")
  func bareClientWindow() {
    #expect(
      response("permessage-deflate; client_max_window_bits", policy: .asOffered) == "permessage-deflate")
  }

  @Test(
    "An offer that section 7.1 does not allow is declined",
    arguments: [
      "", "deflate", "permessage-deflate; server_max_window_bits=7",
      "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=16",
      "permessage-deflate; client_max_window_bits=010", "permessage-deflate; client_max_window_bits=",
      "permessage-deflate; unknown", "permessage-deflate; server_no_context_takeover=1",
      "permessage-deflate;",
      "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
      "x-other; note=\"a, permessage-deflate\"", "x-other; note=\"\\\", permessage-deflate\"",
    ])
  func declined(offer: String) {
    #expect(response(offer) == nil)
  }

  @Test(
    "What is not of the field's form is told from what is not acceptable",
    arguments: [
      ("", true), (",, x ,", true), ("x; a; b=1; c=\"d\"", true), ("x;a = 1 , y", true),
      ("x; a=\"\\1\\0\"", true),
      (";", false), ("x;", false), ("x; =1", false), ("x; a=", false), ("x y", false), ("x; a b", false),
      ("x; a=\"\"", false), ("x; a=\"b", false), ("x; a=\"b c\"", false), ("x; a=\"b\\", false),
      ("x; a=b=c", false), ("x/y", false), ("x; é", false), ("x; a=\"b\"c", false),
    ])
  func form(value: String, isWellFormed: Bool) {
    #expect((ExtensionOffer.list(of: [value]) != nil) == isWellFormed)
    #expect(ExtensionOffer.list(of: ["x", value, "y"])?.first?.name == (isWellFormed ? "x" : nil))
  }

  @Test("Quotes are not part of a value")
  func quoted() {
    let offers = ExtensionOffer.list(of: ["x; a=\"\\1\\0\"; b", "y"])
    #expect(offers?.map(\.name) == ["x", "y"])
    #expect(offers?.first?.parameters.map(\.name) == ["a", "b"])
    #expect(offers?.first?.parameters.map(\.value) == ["10", nil])
  }

  @Test("The next offer is taken when the first cannot be")
  func fallback() {
    let offer = "permessage-deflate; server_max_window_bits=99, permessage-deflate; server_max_window_bits=9"
    #expect(response(offer, policy: .asOffered) == "permessage-deflate; server_max_window_bits=9")
  }

  @Test("Frames are shared only where no context is kept and the window is whole")
  func sharing() {
    let takesShared = { (offer: String, policy: Policy) in
      PerMessageDeflate.negotiate(offers: [offer], policy: policy)?.takesSharedFrames
    }
    #expect(takesShared("permessage-deflate", .frugal) == true)
    #expect(takesShared("permessage-deflate; server_max_window_bits=15", .frugal) == true)
    #expect(takesShared("permessage-deflate; server_max_window_bits=14", .frugal) == false)
    #expect(takesShared("permessage-deflate", .asOffered) == false)
  }
}
