/// What is wrong with a credential that an account cannot do without.
enum RequiredSecret {
  static func fault(_ name: String, in secrets: AccountSecrets) -> String? {
    let values = secrets[name]
    guard !values.isEmpty else { return "\(name) is missing" }
    return values.contains("") ? "\(name) is empty" : nil
  }

  /// The same where an account of an app is found by its id instead, and the app has the secret.
  static func fault(_ name: String, orAccount id: String, in secrets: AccountSecrets) -> String? {
    let hasID = secrets[id].contains { !$0.isEmpty }
    guard hasID || !secrets[name].isEmpty else {
      return "\(name) is missing; an account of an app needs \(id) instead"
    }
    return secrets[name].contains("") ? "\(name) is empty" : nil
  }

  /// The same where an account may be polled instead, with a credential of its own.
  static func fault(_ name: String, orPolled token: String, in secrets: AccountSecrets) -> String? {
    let hasToken = secrets[token].contains { !$0.isEmpty }
    guard hasToken || !secrets[name].isEmpty else {
      return "\(name) is missing; an account that is polled needs \(token) instead"
    }
    return secrets[name].contains("") ? "\(name) is empty" : nil
  }
}
