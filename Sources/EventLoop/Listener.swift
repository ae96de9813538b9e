import CLinux
import Glibc

/// A listening socket on a loop: accepts connections and starts one task for each.
///
/// With `SO_REUSEPORT` each loop has its own listener on the same address and the kernel deals the
/// connections out.
package final class Listener: Selectable, @unchecked Sendable {
  // Safe because: mutable state is used on the loop only; `address` never changes.

  private static let acceptsPerTurnMax = 64

  package let loop: EventLoop
  /// Where it listens, with the real port when 0 was asked for.
  package let address: SocketAddress
  private let descriptor: Int32
  private var body: (@Sendable (Socket, isolated Shard) async -> Void)?
  private var isOpen = true
  /// Times that a connection could not be accepted because no descriptor or memory was left.
  package private(set) var exhaustions = 0

  private init(loop: EventLoop, address: SocketAddress, descriptor: Int32) {
    self.loop = loop
    self.address = address
    self.descriptor = descriptor
  }

  /// Binds and listens. May be called from any thread; accepting starts with `accept`.
  /// - Throws: `.system` with the operation that failed, `EADDRINUSE` above all.
  package static func bind(
    _ address: SocketAddress, on loop: EventLoop, reusePort: Bool = true, backlog: Int32 = 4_096
  ) throws(SocketError) -> Listener {
    let descriptor = hub_tcp_socket(address.family)
    guard descriptor >= 0 else { throw .system(errno: errno, operation: "socket") }
    do throws(SocketError) {
      if address.family != AF_UNIX {
        try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR)
        if reusePort { try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT) }
      }
      guard try address.withSystemAddress({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
        throw .system(errno: errno, operation: "bind \(address)")
      }
      guard listen(descriptor, backlog) == 0 else {
        throw .system(errno: errno, operation: "listen \(address)")
      }
    } catch {
      Glibc.close(descriptor)
      throw error
    }
    let real = localAddress(descriptor) ?? address
    return Listener(loop: loop, address: real, descriptor: descriptor)
  }

  /// Whether nobody listens there yet. With `SO_REUSEPORT` a second process of the same user would
  /// quietly share the connections, so a program asks first.
  /// - Throws: `.system` as `bind` would.
  package static func checkFree(_ address: SocketAddress) throws(SocketError) {
    let descriptor = hub_tcp_socket(address.family)
    guard descriptor >= 0 else { throw .system(errno: errno, operation: "socket") }
    defer { Glibc.close(descriptor) }
    try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR)
    guard try address.withSystemAddress({ Glibc.bind(descriptor, $0, $1) }) == 0,
      Glibc.listen(descriptor, 1) == 0
    else { throw .system(errno: errno, operation: "bind \(address)") }
  }

  /// Starts accepting: each connection runs `body` in a task of its own on the loop. The socket is
  /// closed when `body` returns, unless `Socket.outlivesItsTask` says otherwise. From any thread.
  package func accept(_ body: @escaping @Sendable (Socket, isolated Shard) async -> Void) {
    loop.execute {
      guard self.isOpen else { return }
      self.body = body
      do throws(SocketError) {
        try self.loop.add(self.descriptor, self, .readable, .level)
      } catch {
        self.isOpen = false
        Glibc.close(self.descriptor)
      }
    }
  }

  /// Stops accepting; connections that exist go on. From any thread.
  package func close() {
    loop.execute {
      guard self.isOpen else { return }
      self.isOpen = false
      self.loop.remove(self.descriptor)
      self.body = nil
      Glibc.close(self.descriptor)
    }
  }

  func ready(_ readiness: Readiness) {
    guard let body else { return }
    for _ in 0..<Self.acceptsPerTurnMax {
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let accepted = hub_accept(descriptor, &storage, &length)
      if accepted >= 0 {
        start(accepted, storage, body)
      } else if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM {
        return pause()
      } else if errno != ECONNABORTED && errno != EINTR {
        return
      }
    }
  }

  private func start(
    _ accepted: Int32, _ storage: sockaddr_storage,
    _ body: @escaping @Sendable (Socket, isolated Shard) async -> Void
  ) {
    let peer = SocketAddress(storage) ?? .unix("")
    let socket: Socket
    do throws(SocketError) {
      socket = try Socket(loop: loop, descriptor: accepted, peer: peer)
    } catch {
      Glibc.close(accepted)
      return
    }
    loop.spawn { shard in
      await body(socket, shard)
      if !socket.outlivesItsTask { socket.close() }
    }
  }

  /// Out of descriptors: leave the rest in the kernel's queue for a moment instead of spinning.
  private func pause() {
    exhaustions += 1
    loop.modify(descriptor, [], .level)
    loop.schedule(after: .milliseconds(100)) {
      if self.isOpen { self.loop.modify(self.descriptor, .readable, .level) }
    }
  }

  private static func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32) throws(SocketError) {
    var on: Int32 = 1
    guard setsockopt(descriptor, level, option, &on, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
      throw .system(errno: errno, operation: "setsockopt")
    }
  }

  private static func localAddress(_ descriptor: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    guard result == 0, let address = SocketAddress(storage) else { return nil }
    if case .unix = address { return nil }
    return address
  }
}
