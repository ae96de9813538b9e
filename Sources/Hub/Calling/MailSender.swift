import Bytes
import EventLoop
import MailClient
import MailWire
import Messaging
import Platforms
package import Telemetry

/// Sends the mail of accounts that are mailboxes.
package struct MailSender: Sendable {
  package let connector: MailboxConnector
  package let caller: PlatformCaller
  package let log: Logger

  package init(connector: MailboxConnector, caller: PlatformCaller, log: Logger) {
    self.connector = connector
    self.caller = caller
    self.log = log
  }

  /// Sends a draft with files. Call on the loop.
  /// - Returns: what the server said.
  func send(
    _ draft: MailDraft, _ files: [OutboundFile], _ access: MailboxAccess
  ) async throws(APIFailure) -> APIAnswer {
    guard let outgoing = access.outgoing else { throw APIFailure("the account has no SMTP server") }
    var draft = draft
    for file in files {
      do throws(CallFault) {
        let bytes = try await caller.content(of: file)
        draft.attachments.append(MailAttachment(name: file.name, mediaType: file.mimeType, bytes: bytes))
      } catch {
        throw APIFailure("a file cannot be had: \(error)", .later(seconds: nil))
      }
    }
    let client = SMTPClient(
      SMTPClient.Configuration(
        server: connector.server(outgoing),
        // Nothing secret goes over a line that is open.
        credentials: outgoing.security == .none ? nil : access.credentials,
        clientName: Self.name(draft.from.address)),
      on: connector.loop, blocking: connector.blocking)
    do throws(SMTPFailure) {
      let token = Hex.encode(withUnsafeBytes(of: HubNode.random()) { Array($0) })
      let sent = try await client.send(draft, token: token)
      if access.savesSent, let folder = access.sent { save(sent.message, in: folder, access) }
      return APIAnswer(status: sent.reply.code, body: Array(sent.reply.text.utf8))
    } catch {
      throw MailFaults.failure(error, hasToken: access.hasToken)
    }
  }

  private static func name(_ address: String) -> String {
    let domain = address.split(separator: "@").last.map(String.init) ?? ""
    return domain.utf8.allSatisfy { $0 < 0x80 } ? domain : "localhost"
  }

  /// Puts a copy among the sent mail. Nobody waits for it: what was sent has to be written down first.
  private func save(_ message: WrittenMail, in folder: String, _ access: MailboxAccess) {
    let sender = self
    Task { await withTaskExecutorPreference(connector.loop) { await sender.append(message, folder, access) } }
  }

  private func append(_ message: WrittenMail, _ folder: String, _ access: MailboxAccess) async {
    do throws(IMAPFailure) {
      let client = try await connector.connect(access)
      do throws(IMAPFailure) {
        _ = try await client.append(message.bytes, to: folder)
      } catch {
        client.close()
        throw error
      }
      await client.logOut()
    } catch {
      log.warning("a sent mail has no copy among the sent", ["error": .string("\(error)")])
    }
  }
}
