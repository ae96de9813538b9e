/// What stands in a user's room.
protocol RoomMember: AnyObject {
  /// Kept by `UserRooms`; nil outside a room.
  var placeInRoom: Int? { get set }
}

/// Who is there of each user, on one shard. Entering and leaving cost the same however many there are.
struct UserRooms<Member: RoomMember> {
  private var rooms: [UserKey: [Member]] = [:]

  /// Users of whom somebody is there.
  var count: Int { rooms.count }

  /// In no order.
  func members(of user: UserKey) -> [Member] { rooms[user] ?? [] }

  /// - Parameter member: one that is in no room.
  mutating func enter(_ member: Member, _ user: UserKey) {
    member.placeInRoom = rooms[user]?.count ?? 0
    rooms[user, default: []].append(member)
  }

  /// Nothing happens when it is in no room.
  mutating func leave(_ member: Member, _ user: UserKey) {
    guard let place = member.placeInRoom else { return }
    member.placeInRoom = nil
    // The last one takes the place that is free.
    guard let last = rooms[user]?.popLast() else { return }
    if last !== member {
      last.placeInRoom = place
      rooms[user]?[place] = last
    } else if place == 0 {
      rooms[user] = nil
    }
  }
}
