import Testing

@testable import Hub

@Suite("UserRooms")
struct UserRoomsTests {
  private final class Screen: RoomMember {
    let user: UserKey
    var placeInRoom: Int?

    init(_ user: UserKey) { self.user = user }
  }

  private static let users = ["ann", "bob"].map { UserKey(tenant: "acme", user: $0) }

  @Test("Whoever entered and has not left is there once, in any order of coming and going")
  func comingAndGoing() {
    var generator = SystemRandomNumberGenerator()
    var rooms = UserRooms<Screen>()
    var inside: [Screen] = []
    for _ in 0..<2_000 {
      if inside.count < 12, Bool.random(using: &generator) {
        let screen = Screen(Self.users[Int.random(in: 0...1, using: &generator)])
        rooms.enter(screen, screen.user)
        inside.append(screen)
      } else if let index = inside.indices.randomElement(using: &generator) {
        let screen = inside.remove(at: index)
        rooms.leave(screen, screen.user)
        // Twice is once.
        rooms.leave(screen, screen.user)
      }
      for user in Self.users {
        let expected = Set(inside.filter { $0.user == user }.map(ObjectIdentifier.init))
        let found = rooms.members(of: user).map(ObjectIdentifier.init)
        #expect(Set(found) == expected && found.count == expected.count)
      }
    }
    for screen in inside { rooms.leave(screen, screen.user) }
    #expect(rooms.count == 0)
  }
}
