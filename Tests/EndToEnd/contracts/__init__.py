"""The contracts of all platforms that users can write to over HTTP, by name.

A platform has several where an account of it has several ways to its token, or its conversations are of
several kinds.
"""

from contracts.bird import Bird
from contracts.bluesky import Bluesky
from contracts.custom import Custom
from contracts.discord import Discord
from contracts.google_chat import GoogleChat
from contracts.intercom import Intercom
from contracts.kakaotalk import KakaoTalk
from contracts.line import Line, StatelessLine
from contracts.mailgun import Mailgun
from contracts.mastodon import Mastodon
from contracts.mattermost import Mattermost
from contracts.messagebird import MessageBird
from contracts.messenger import Instagram, Messenger
from contracts.postmark import Postmark
from contracts.reddit import Reddit, RedditComments
from contracts.rocketchat import RocketChat
from contracts.sendgrid import SendGrid
from contracts.signal import Signal, SignalGroup
from contracts.slack import RotatingSlack, Slack, ThreadedSlack
from contracts.teams import Teams, TeamsChannel
from contracts.teams_graph import TeamsGraph, TeamsGraphChannel
from contracts.telegram import Telegram, TelegramBusiness, TelegramTopic
from contracts.twilio import Twilio, TwilioConversation, TwilioWhatsApp
from contracts.viber import Viber
from contracts.vonage import Vonage, VonageSMS
from contracts.wechat import WeChat, WeChatTemplate
from contracts.whatsapp import WhatsApp, WhatsAppUser
from contracts.x import RefreshingX, X
from contracts.zalo import Zalo
from contracts.zulip import Zulip, ZulipChannel

CONTRACTS = {
    "telegram": Telegram,
    "whatsapp": WhatsApp,
    "messenger": Messenger,
    "instagram": Instagram,
    "slack": Slack,
    "slack-rotation": RotatingSlack,
    "discord": Discord,
    "line": Line,
    "line-stateless": StatelessLine,
    "viber": Viber,
    "twilio": Twilio,
    "x": X,
    "x-refresh": RefreshingX,
    "teams": Teams,
    "google-chat": GoogleChat,
    "mattermost": Mattermost,
    "rocketchat": RocketChat,
    "zulip": Zulip,
    "mastodon": Mastodon,
    "bluesky": Bluesky,
    "reddit": Reddit,
    "intercom": Intercom,
    "custom": Custom,
    "telegram-topic": TelegramTopic,
    "telegram-business": TelegramBusiness,
    "whatsapp-user": WhatsAppUser,
    "slack-thread": ThreadedSlack,
    "twilio-whatsapp": TwilioWhatsApp,
    "twilio-conversation": TwilioConversation,
    "teams-channel": TeamsChannel,
    "zulip-channel": ZulipChannel,
    "reddit-comments": RedditComments,
    "mailgun": Mailgun,
    "sendgrid": SendGrid,
    "postmark": Postmark,
    "signal": Signal,
    "vonage": Vonage,
    "messagebird": MessageBird,
    "bird": Bird,
    "wechat": WeChat,
    "zalo": Zalo,
    "kakaotalk": KakaoTalk,
    "teams-graph": TeamsGraph,
    "teams-graph-channel": TeamsGraphChannel,
    "signal-group": SignalGroup,
    "vonage-sms": VonageSMS,
    "wechat-template": WeChatTemplate,
}
