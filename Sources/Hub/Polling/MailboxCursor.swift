import Bytes
import JSON
import Platforms

/// How far a mailbox was read, folder by folder. As JSON:
/// `{"inbox": {"mailbox", "uidValidity", "uid", "at"}, "sent": ...}`.
struct MailboxCursor: Equatable {
  struct Place: Equatable {
    /// The folder's name: with another one it begins anew.
    var mailbox: String
    var uidValidity: UInt32
    /// Live: everything up to it is known. Of history: everything from it on.
    var uid: UInt32
    /// The latest date of what was read: with another `uidValidity` reading goes on there.
    var at: Timestamp
  }

  private var places: [MailboxAccess.Role: Place] = [:]

  init(_ json: JSONValue?) {
    for role in MailboxAccess.Role.allCases {
      guard let place = json?[role.rawValue], let mailbox = place["mailbox"]?.string,
        let uidValidity = place["uidValidity"]?.integer.flatMap({ UInt32(exactly: $0) }),
        let uid = place["uid"]?.integer.flatMap({ UInt32(exactly: $0) }),
        let at = place["at"]?.string.flatMap({ Timestamp(rfc3339: $0) })
      else { continue }
      places[role] = Place(mailbox: mailbox, uidValidity: uidValidity, uid: uid, at: at)
    }
  }

  /// nil: the folder was not read yet, or it is another one now.
  subscript(folder: MailboxAccess.Folder) -> Place? {
    get { places[folder.role].flatMap { $0.mailbox == folder.name ? $0 : nil } }
    set { places[folder.role] = newValue }
  }

  var json: JSONValue {
    var members: [String: JSONValue] = [:]
    for (role, place) in places {
      members[role.rawValue] = [
        "mailbox": .string(place.mailbox), "uidValidity": .integer(Int64(place.uidValidity)),
        "uid": .integer(Int64(place.uid)), "at": .string(place.at.rfc3339),
      ]
    }
    return .object(members)
  }
}
