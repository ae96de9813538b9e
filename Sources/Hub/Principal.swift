package import Bytes

/// Who a request or a connection acts for, as the verified token says.
package struct Principal: Sendable, Hashable {
  package let tenant: String
  package let user: String
  package let email: String?
  package let roles: [String]
  /// When the token ends.
  package let expires: Timestamp

  package init(tenant: String, user: String, email: String?, roles: [String], expires: Timestamp) {
    self.tenant = tenant
    self.user = user
    self.email = email
    self.roles = roles
    self.expires = expires
  }

  package var key: UserKey { UserKey(tenant: tenant, user: user) }
}

/// A user within the whole installation; a room is named by it.
package struct UserKey: Sendable, Hashable, Comparable {
  package let tenant: String
  package let user: String

  package init(tenant: String, user: String) {
    self.tenant = tenant
    self.user = user
  }

  package static func < (left: UserKey, right: UserKey) -> Bool {
    left.tenant == right.tenant ? left.user < right.user : left.tenant < right.tenant
  }
}
