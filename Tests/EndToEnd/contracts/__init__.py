"""The contracts of all platforms that users can write to over HTTP, by name.

A platform has several where an account of it has several ways to its token.
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
from contracts.reddit import Reddit
from contracts.rocketchat import RocketChat
from contracts.sendgrid import SendGrid
from contracts.signal import Signal
from contracts.slack import RotatingSlack, Slack
from contracts.teams import Teams
from contracts.teams_graph import TeamsGraph
from contracts.telegram import Telegram
from contracts.twilio import Twilio
from contracts.viber import Viber
from contracts.vonage import Vonage
from contracts.wechat import WeChat
from contracts.whatsapp import WhatsApp
from contracts.x import RefreshingX, X
from contracts.zalo import Zalo
from contracts.zulip import Zulip

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
}
