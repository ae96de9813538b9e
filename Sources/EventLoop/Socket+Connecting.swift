import CLinux
import Glibc

extension Socket {
  /// Connects without blocking.
  /// - Parameter started: is given the socket while it connects, to close it when nobody wants it any more.
  /// - Throws: `.system` with the peer's refusal, `.timedOut` at the deadline.
  package static func connect(
    to address: SocketAddress, on loop: EventLoop, deadline: LoopInstant? = nil,
    started: (Socket) -> Void = { _ in }
  ) async throws(SocketError) -> Socket {
    loop.assertInLoop()
    let descriptor = hub_tcp_socket(address.family)
    guard descriptor >= 0 else { throw .system(errno: errno, operation: "socket") }
    let result: Int32
    do throws(SocketError) {
      result = try address.withSystemAddress { Glibc.connect(descriptor, $0, $1) == 0 ? 0 : errno }
    } catch {
      Glibc.close(descriptor)
      throw error
    }
    guard result == 0 || result == EINPROGRESS else {
      Glibc.close(descriptor)
      throw .system(errno: result, operation: "connect \(address)")
    }
    let socket: Socket
    do throws(SocketError) {
      socket = try Socket(loop: loop, descriptor: descriptor, peer: address)
    } catch {
      Glibc.close(descriptor)
      throw error
    }
    started(socket)
    do throws(SocketError) {
      try await socket.waitUntilWritable(deadline)
      let error = hub_socket_error(descriptor)
      if error != 0 { throw .system(errno: error, operation: "connect \(address)") }
    } catch {
      socket.close()
      throw error
    }
    return socket
  }
}
