import COpenSSL
import Glibc
import Testing

@testable import EventLoop

/// What still works while the process ends and other threads have not heard of it.
@Suite("Process exit")
struct ProcessExitTests {
  @Test("OpenSSL works until the process is gone")
  func openSSL() async {
    await #expect(processExitsWith: .exitCode(7)) {
      // Exit handlers run last one first: this one after what OpenSSL would register at its first use.
      atexit { _exit(RAND_status() == 1 ? 7 : 1) }
      _ = try TLSContext(clientTrusting: nil)
      exit(0)
    }
  }
}
