/// Which sockets are in which room of which namespace, on one loop.
///
/// Most rooms are a user's own and have one or two sockets, so a room of one holds no set.
struct RoomIndex {
  private struct Key: Hashable {
    let namespace: String
    let room: String
  }

  private enum Members {
    case one(SocketIOSocket)
    case many(Set<SocketIOSocket>)
  }

  private var rooms: [Key: Members] = [:]

  var count: Int { rooms.count }

  mutating func insert(_ socket: SocketIOSocket, into room: String) {
    let key = Key(namespace: socket.namespace, room: room)
    switch rooms[key] {
    case nil: rooms[key] = .one(socket)
    case .one(let other):
      if other !== socket { rooms[key] = .many([other, socket]) }
    case .many(var members):
      rooms[key] = nil
      members.insert(socket)
      rooms[key] = .many(members)
    }
  }

  mutating func remove(_ socket: SocketIOSocket, from room: String) {
    let key = Key(namespace: socket.namespace, room: room)
    switch rooms[key] {
    case nil: break
    case .one(let member):
      if member === socket { rooms[key] = nil }
    case .many(var members):
      rooms[key] = nil
      members.remove(socket)
      if members.count > 1 {
        rooms[key] = .many(members)
      } else if let last = members.first {
        rooms[key] = .one(last)
      }
    }
  }

  /// The sockets in a room, in no order.
  func members(of room: String, in namespace: String) -> [SocketIOSocket] {
    switch rooms[Key(namespace: namespace, room: room)] {
    case nil: []
    case .one(let member): [member]
    case .many(let members): Array(members)
    }
  }
}
