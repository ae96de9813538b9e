import Hub

/// What the environment says, checked and with defaults: the outcome of `ConfigurationTable`.
///
/// Secrets are texts here and nowhere else; nothing prints this value.
struct Settings: Sendable {
  enum LogFormat: String, Sendable, CaseIterable { case json, pretty }

  var hub = HubConfiguration()
  /// Where the hub keeps its own things: the embedded PostgreSQL, generated secrets.
  var dataFolder = ".hub"
  /// libpq connection string; nil: the hub runs its own PostgreSQL.
  var databaseURL: String?
  /// Folder of the PostgreSQL programs; nil: searched.
  var postgresBinaries: String?
  var redisURL: String?
  /// Folder of attachments and uploads; nil: in the data folder.
  var filesFolder: String?
  /// Where objects are kept in place of the folder; together with `s3Bucket`.
  var s3Endpoint: String?
  var s3Bucket: String?
  var s3Region = "us-east-1"
  var s3AccessKey: String?
  var s3SecretKey: String?
  /// The HS256 secret; nil: public keys only, or made in development.
  var tokenSecret: String?
  /// PEM public keys, one after the other.
  var tokenPublicKeys: String?
  /// A file with a JSON Web Key Set.
  var tokenKeySetFile: String?
  var tokenIssuer: String?
  var tokenAudience: String?
  /// Keys that seal credentials, newest first, by comma; nil: made in development.
  var encryptionKeys: String?
  var logFormat = LogFormat.json
  /// One of `ConfigurationTable.logLevels`.
  var logLevel = "info"
  /// What is odd but does not stop the start.
  var warnings: [String] = []

  var isProduction: Bool { !hub.isDevelopment }
}
