import JSON
import SocketIOWire

/// Socket.IO packets, their attachments and their arguments.
enum SocketIOFuzz {
  private static let limits = SocketIOLimits(attachmentsMax: 3, namespaceBytesMax: 40)
  /// The first byte of a message that stands for a binary one.
  private static let binaryMark: UInt8 = 1

  /// The lines of the input are the messages of one connection.
  static func packets(_ input: [UInt8], _: Cutting) throws(FuzzFinding) {
    var assembler = SocketIOAssembler(limits: limits)
    var due = 0
    var sent: [[UInt8]] = []
    for line in input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let isBinary = line.first == binaryMark
      let message = Array(isBinary ? line.dropFirst() : line)
      let assembled: SocketIOAssembler.Assembled?
      do throws(SocketIOParseError) {
        assembled = isBinary ? try assembler.binary(message) : try assembler.text(message)
      } catch {
        try expect((error == .attachmentOutOfPlace) == (isBinary == (due == 0)), "\(error), \(due) due")
        return
      }
      if isBinary {
        due -= 1
        sent.append(message)
      } else {
        due = try expectPacket(message)
        sent = []
      }
      try expect((assembled != nil) == (due == 0), "\(due) due: \(String(describing: assembled))")
      if let assembled { try expect(assembled.attachments == sent, "other attachments") }
    }
  }

  /// - Returns: how many attachments follow.
  private static func expectPacket(_ text: [UInt8]) throws(FuzzFinding) -> Int {
    guard let packet = try? SocketIOPacket(parsing: text, limits: limits) else {
      throw FuzzFinding("taken, and refused: \(text)")
    }
    try expect(packet.attachmentCount <= limits.attachmentsMax, "\(packet.attachmentCount) attachments")
    try expect(packet.namespace.utf8.count <= limits.namespaceBytesMax, "a long namespace")
    try expect(packet.namespace.utf8.first == UInt8(ascii: "/"), "the namespace \(packet.namespace)")
    let written = packet.encoded()
    guard let again = try? SocketIOPacket(parsing: written, limits: limits) else {
      throw FuzzFinding("written as \(written), and refused")
    }
    try expect(again.encoded() == written, "written as \(written), then as \(again.encoded())")
    if packet.namespaceQuery.isEmpty { try expect(again == packet, "written as \(written)") }
    try expectArguments(packet.payload)
    return packet.attachmentCount
  }

  /// Arguments are cut out of the text where a parser of JSON finds them.
  private static func expectArguments(_ payload: [UInt8]) throws(FuzzFinding) {
    let pieces = RawJSONArray.elements(of: payload)
    guard let array = try? JSONValue(parsing: payload), let values = array.array else { return }
    guard let pieces else { throw FuzzFinding("no array: \(payload)") }
    try expect(pieces.map { try? JSONValue(parsing: $0) } == values, "cut to \(pieces)")
  }
}
