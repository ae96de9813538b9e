/// PostgreSQL's binary values, read from memory that is only lent. Pure.
enum BinaryValue {
  /// Types whose binary form is their text: text, varchar, bpchar, name, unknown, json, and jsonb after
  /// its version byte. Enums have numbers of their own, from 16384 on; so do domains, which arrive as
  /// their base type.
  static func isTextual(_ oid: UInt32) -> Bool {
    switch oid {
    case 18, 19, 25, 114, 705, 1042, 1043, 3802: true
    default: oid >= 16_384
    }
  }

  /// The value without jsonb's version byte.
  static func text(_ oid: UInt32, _ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    guard oid == PostgresType.jsonb.oid, bytes.first == PostgresBind.jsonbVersion else { return bytes }
    return UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
  }

  /// int2, int4, int8 or oid. nil for another type.
  static func int(_ oid: UInt32, _ bytes: UnsafeRawBufferPointer) -> Int? {
    switch (oid, bytes.count) {
    case (21, 2): Int(integer(bytes, as: Int16.self))
    case (23, 4): Int(integer(bytes, as: Int32.self))
    case (20, 8): Int(integer(bytes, as: Int64.self))
    case (26, 4): Int(integer(bytes, as: UInt32.self))
    default: nil
    }
  }

  /// float8 or float4. nil for another type.
  static func double(_ oid: UInt32, _ bytes: UnsafeRawBufferPointer) -> Double? {
    switch (oid, bytes.count) {
    case (701, 8): Double(bitPattern: integer(bytes, as: UInt64.self))
    case (700, 4): Double(Float(bitPattern: integer(bytes, as: UInt32.self)))
    default: nil
    }
  }

  /// A big-endian integer from the front; the caller has checked the length.
  static func integer<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, as type: T.Type) -> T {
    T(bigEndian: bytes.loadUnaligned(as: T.self))
  }

  /// Reads a one-dimensional array. nil when the bytes are no such array, or when `decode` refuses an
  /// element.
  static func array<Element>(
    _ bytes: UnsafeRawBufferPointer, _ decode: (UInt32, UnsafeRawBufferPointer) -> Element?
  ) -> [Element?]? {
    guard bytes.count >= 12 else { return nil }
    func word(_ offset: Int) -> Int {
      Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
    }
    let element = UInt32(truncatingIfNeeded: word(8))
    switch word(0) {
    case 0: return []
    case 1: break
    default: return nil
    }
    guard bytes.count >= 20 else { return nil }
    let count = word(12)
    guard count >= 0, count <= (bytes.count - 20) / 4 else { return nil }
    var elements: [Element?] = []
    elements.reserveCapacity(count)
    var offset = 20
    for _ in 0..<count {
      guard offset + 4 <= bytes.count else { return nil }
      let length = word(offset)
      offset += 4
      if length == -1 {
        elements.append(nil)
        continue
      }
      guard length >= 0, length <= bytes.count - offset else { return nil }
      let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
      guard let value = decode(element, slice) else { return nil }
      elements.append(value)
      offset += length
    }
    return offset == bytes.count ? elements : nil
  }
}
