import EventLoop
import HTTPClient
import HTTPServer
import HTTPWire
import Testing

@Suite("Address policy") struct AddressPolicyTests {
  @Test(
    "addresses that are not globally reachable are refused",
    arguments: [
      "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
      "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1",
      "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
      "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
      "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1",
      "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1",
      "3fff::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
    ])
  func refused(text: String) throws {
    let address = try #require(SocketAddress(host: text, port: 443))
    #expect(!AddressPolicy.publicOnly.allows(address))
    #expect(AddressPolicy.any.allows(address))
  }

  @Test(
    "public addresses are allowed",
    arguments: [
      "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255",
      "128.0.0.1", "169.253.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.1.1", "198.17.0.1",
      "198.20.0.1", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00:1450::1", "3ffe::1",
      "64:ff9b::808:808",
    ])
  func allowed(text: String) throws {
    #expect(AddressPolicy.publicOnly.allows(try #require(SocketAddress(host: text, port: 443))))
  }

  @Test(
    "a request that must stay public does not reach loopback, however it is written",
    arguments: ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "local.test", "mixed.test"])
  func literals(host: String) async throws {
    let names = ["local.test": ["127.0.0.1"], "mixed.test": ["93.184.215.14", "::1"]]
    let (error, reached) = try await ClientFixture.run(names: names) { fixture in
      let reached = Box(false)
      let url = try fixture.serve { _ in
        reached.value = true
        return .response(.text(.ok, ""))
      }
      let port = url.split(separator: ":").last ?? ""
      let error = await fixture.error(try .get("http://\(host):\(port)/") { $0.addressPolicy = .publicOnly })
      return (error, reached.value)
    }
    #expect(error == .notSent(.addressRefused))
    #expect(!reached)
  }

  @Test("a connection that was opened without a check serves no request that wants one")
  func noReuse() async throws {
    let error = try await ClientFixture.run { fixture in
      let url = try fixture.serve { _ in .response(.text(.ok, "")) }
      _ = try await fixture.client.send(.get(url))
      return await fixture.error(try .get(url) { $0.addressPolicy = .publicOnly })
    }
    #expect(error == .notSent(.addressRefused))
  }
}
