/// All platforms of this build.
package enum PlatformCatalogue {
  package static let all: [any Platform] = [
    TelegramPlatform(),
    WhatsAppPlatform(),
    MessengerPlatform(),
    InstagramPlatform(),
    SlackPlatform(),
    DiscordPlatform(),
    LINEPlatform(),
    ViberPlatform(),
    TwilioPlatform(),
    VonagePlatform(),
    MessageBirdPlatform(),
    BirdPlatform(),
    XPlatform(),
    LinkedInPlatform(),
    TeamsPlatform(),
    TeamsOutgoingWebhookPlatform(),
    TeamsGraphPlatform(),
    GoogleChatPlatform(),
    WeChatPlatform(),
    ZaloPlatform(),
    KakaoTalkPlatform(),
    SignalPlatform(),
    MatrixPlatform(),
    MattermostPlatform(),
    RocketChatPlatform(),
    ZulipPlatform(),
    EmailPlatform(),
    MailgunPlatform(),
    SendGridPlatform(),
    PostmarkPlatform(),
    IntercomPlatform(),
    MastodonPlatform(),
    BlueskyPlatform(),
    RedditPlatform(),
    CustomPlatform(),
  ]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name.rawValue, $0) })

  package static func named(_ name: String) -> (any Platform)? { byName[name] }
}
