import Testing

@testable import Platforms

@Suite("XML of named texts")
struct XMLFieldsTests {
  private static func read(_ text: String) -> [String: String]? { try? XMLFields.read(Array(text.utf8)) }

  @Test("reads texts, CDATA, entities and what is nested")
  func reads() {
    #expect(Self.read("<xml><A>1</A><B><![CDATA[<b>&amp;]]]></B></xml>") == ["A": "1", "B": "<b>&amp;]"])
    #expect(Self.read("<xml><A>&lt;&amp;&gt;&quot;&apos;&#20320;&#x597D;</A></xml>") == ["A": "<&>\"'你好"])
    #expect(Self.read("<xml>\n <A> x </A>\r\n\t<B/><C ></C ></xml> ") == ["A": " x ", "B": "", "C": ""])
    #expect(Self.read("<x><A><B>1</B><C>2</C></A></x>") == ["A.B": "1", "A.C": "2"])
    #expect(Self.read("<x><A>a<![CDATA[b]]>c</A></x>") == ["A": "abc"])
    #expect(Self.read("\u{feff}<?xml version=\"1.0\"?>\n<x><A>你</A></x>") == ["A": "你"])
    #expect(Self.read("<x><A>\u{0}</A></x>") == ["A": "\u{fffd}"])
  }

  @Test("keeps all of one name")
  func repeated() {
    let text = "<x><L><item><P>1</P></item><item><P>2</P></item><item><P>3</P></item></L></x>"
    #expect(Self.read(text) == ["L.item.P": "1", "L.item.P[1]": "2", "L.item.P[2]": "3"])
  }

  @Test(
    "refuses everything else",
    arguments: [
      "", " ", "x", "<", "<x", "<x>", "<x></x>", "<x>1</x>", "<x><A></x>", "<x><A>1</B></x>", "<x><A>1</A>",
      "<x><A>1</A></x>y", "<x><A>1</A></x><x/>", "<x>t<A>1</A></x>", "<x><A>1</A>t</x>",
      "<x><A b='1'>1</A></x>",
      "<x><A>&b;</A></x>", "<x><A>& </A></x>", "<x><A>&amp</A></x>", "<x><A>&#0;</A></x>",
      "<x><A>&#xD800;</A></x>",
      "<x><A>&#-1;</A></x>", "<x><A>&#+1;</A></x>", "<x><A>&#;</A></x>", "<x><A>&#x110000;</A></x>",
      "<x><A>&nbsp;</A></x>", "<x><A><![CDATA[1]]</A></x>", "<x><!-- c --><A>1</A></x>",
      "<x><?p?><A>1</A></x>",
      "<!DOCTYPE x [<!ENTITY b \"1\">]><x><A>&b;</A></x>",
      "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><x><A/></x>",
      "<x><1>1</1></x>", "<x><>1</></x>", "<x><A:B>1</A:B></x>", "< x><A>1</A></x>", "<?xml <x><A>1</A></x>",
    ])
  func refuses(text: String) {
    #expect(Self.read(text) == nil)
  }

  @Test("refuses what is too deep, too wide, too long or no UTF-8")
  func bounds() {
    func deep(_ count: Int) -> String {
      String(repeating: "<a>", count: count) + String(repeating: "</a>", count: count)
    }
    #expect(Self.read(deep(XMLFields.depthMax)) != nil)
    #expect(Self.read(deep(XMLFields.depthMax + 1)) == nil)
    #expect(Self.read(String(repeating: "<a>", count: 100_000)) == nil)
    func wide(_ count: Int) -> String { "<x>" + String(repeating: "<a/>", count: count) + "</x>" }
    #expect(Self.read(wide(XMLFields.fieldsMax))?.count == XMLFields.fieldsMax)
    #expect(Self.read(wide(XMLFields.fieldsMax + 1)) == nil)
    let name = String(repeating: "n", count: XMLFields.nameBytesMax)
    #expect(Self.read("<x><\(name)>1</\(name)></x>") == [name: "1"])
    #expect(Self.read("<x><\(name)n>1</\(name)n></x>") == nil)
    let long = String(repeating: " ", count: XMLFields.bytesMax)
    #expect(Self.read("<x><A>\(long)</A></x>") == nil)
    #expect((try? XMLFields.read(Array("<x><A>".utf8) + [0xff] + Array("</A></x>".utf8))) == nil)
  }

  @Test("ends at every cut and every changed bit")
  func garbage() throws {
    let whole = Array("<?xml version=\"1.0\"?><x><A>&#x4f60;&amp;</A><B><![CDATA[1]]></B><C/></x>".utf8)
    #expect((try? XMLFields.read(whole)) != nil)
    for place in whole.indices {
      #expect((try? XMLFields.read(Array(whole[..<place]))) == nil)
      for bit in 0..<8 {
        var changed = whole
        changed[place] ^= 1 << UInt8(bit)
        _ = try? XMLFields.read(changed)
      }
    }
  }
}
