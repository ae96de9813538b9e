import Messaging

extension SendRefusal {
  /// A credential without which nothing can be sent is not there.
  static func lacking(_ field: String) -> SendRefusal {
    SendRefusal(.missingCredentials, "the account has no \(field)")
  }

  /// The platform would not take what the message says.
  static func content(_ reason: String) -> SendRefusal { SendRefusal(.invalidContent, reason) }

  /// The platform tells of it, and takes none of it.
  static func oneWay(_ platform: String, _ action: OutboundAction) -> SendRefusal {
    SendRefusal(.notSupported, "\(platform) tells of \(action.name) and does not take it")
  }

  /// The platform fetches files by itself, and the hub has no address at which it could.
  static func unreachable(_ platform: String) -> SendRefusal {
    content("\(platform) fetches files by itself: the hub needs a public address (PUBLIC_URL)")
  }
}

extension SendStep {
  /// What `refusal(of:)` refuses, asked for all the same.
  static func impossible(_ platform: String, _ what: String) -> SendStep {
    .failed(APIFailure("\(platform) cannot \(what)"))
  }

  /// The platform says yes and does not name what it made: it has to be found before it is tried again.
  static var unnamed: SendStep { .failed(APIFailure("the answer does not name the message", .unknown)) }
}

extension APIFailure {
  /// The status says yes, and what stands below it cannot be read.
  static func unreadable(isRepeatable: Bool) -> APIFailure {
    APIFailure("the answer cannot be read", isRepeatable ? .later(seconds: nil) : .unknown)
  }
}
