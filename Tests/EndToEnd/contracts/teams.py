"""The Bot Connector.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference
"""

import secrets
import time
from datetime import datetime, timezone
from urllib.parse import unquote

import jwt
from botbuilder.schema import Activity, ResourceResponse

from catalogue import private_key
from contracts.base import ANY, Contract, Limit, Made, array, compact, obj, one_of, string

TEST_KEY = private_key()
CONVERSATION = "a:17I0kl9EkpE1O9PH5TWrzrLNw"
ATTACHMENT = obj(
    {"contentType": string()}, contentUrl=string(pattern="^https?://"), name=string(), content=ANY
)
MESSAGE = obj(
    {"type": one_of("message")},
    text=string(28_000, 0),
    textFormat=one_of("plain", "markdown", "xml"),
    attachments=array(ATTACHMENT),
    replyToId=string(),
    summary=string(),
    entities=ANY,
    suggestedActions=ANY,
    channelData=ANY,
    **{"from": ANY},
)
TYPING = obj({"type": one_of("typing")})


class Teams(Contract):
    platform = "teams"
    files = "url"
    has_albums = True
    has_tokens = True
    has_typing = True
    place = CONVERSATION
    inbound_id = "1795219195123"
    longest = "x" * 28_000

    def __init__(self):
        super().__init__()
        self.app = f"4f7c1d2a-{secrets.token_hex(2)}-4222-8333-abcdefabcdef"
        self.password = secrets.token_urlsafe(30)
        self.token = None

    def webhook_credentials(self):
        return {"appId": self.app, "testKey": TEST_KEY}

    def sending_credentials(self):
        return {"appPassword": self.password, "apiURL": f"{self.url}/teams", "loginURL": self.url}

    def inbound(self, account):
        service = "https://smba.trafficmanager.net/teams/"
        body = compact(
            {
                "type": "message",
                "id": self.inbound_id,
                "timestamp": datetime.now(timezone.utc).isoformat(),
                "serviceUrl": service,
                "channelId": "msteams",
                "text": "hello",
                "textFormat": "plain",
                "from": {"id": "29:1XJKJMvc5GBtc2JwZq0oj8tHZm", "name": "Megan Bowen"},
                "conversation": self.conversation(),
                "recipient": {"id": f"28:{self.app}", "name": "hub"},
            }
        )
        now = int(time.time())
        claims = {
            "iss": "https://api.botframework.com",
            "aud": self.app,
            "nbf": now,
            "exp": now + 3600,
            "serviceurl": service,
        }
        token = jwt.encode(claims, TEST_KEY, algorithm="RS256", headers={"kid": "testKey"})
        return {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}, body

    @property
    def addresses(self):
        """The conversation's, and that of the thread which answers to the inbound message go into."""
        return [self.place]

    def conversation(self):
        return {"id": CONVERSATION, "conversationType": "personal"}

    @staticmethod
    def error(status, code, words, **headers):
        return status, {"error": {"code": code, "message": words}}, headers

    def limits(self):
        """https://learn.microsoft.com/microsoftteams/platform/bots/how-to/rate-limit; 412: two at once."""
        return {
            "header": Limit(self.error(429, "Throttled", "Too many requests", **{"Retry-After": "2"}), 2),
            "bare": Limit((429, b"", {"Content-Type": "text/plain"}), 0.5, most=15),
            "412": Limit(self.error(412, "PreconditionFailed", "Concurrent edits"), 0.5),
        }

    def refusal(self):
        words = "The bot is not part of the conversation roster."
        return self.error(403, "BotNotInConversationRoster", words), "roster"

    def broken(self):
        return self.error(500, "ServiceError", "Internal server error")

    def route(self, call):
        if call.path.endswith("/oauth2/v2.0/token"):
            return self.renew(call)
        given = call.headers.get("authorization")
        denied = self.error(401, "Unauthorized", "Authorization has been denied for this request.")
        self.refuse_if(self.is_expired and given != f"Bearer {self.token}", denied)
        self.require(given == f"Bearer {self.token}", denied, f"Authorization {given}")
        start = "/teams/v3/conversations/"
        unknown = self.error(404, "ServiceError", "Unknown")
        self.require(call.path.startswith(start), unknown, call.path)
        parts = [unquote(part) for part in call.path.removeprefix(start).split("/")]
        self.require(parts[0] in self.addresses and parts[1] == "activities", unknown, parts)
        rest = parts[2:]
        if call.method == "POST" and len(rest) <= 1:
            return self.post(call, rest)
        self.require(len(rest) == 1 and rest[0] in {made.id for made in self.made}, unknown, rest)
        if call.method == "PUT":
            body = self.checked(call, MESSAGE, self.invalid)
            self.edits.append((rest[0], body["text"]))
            return 200, {"id": rest[0]}
        self.require(call.method == "DELETE", self.error(405, "MethodNotAllowed", "no"), call.method)
        self.deleted.append(rest[0])
        return 200, b""

    def invalid(self, words):
        return self.error(400, "BadSyntax", str(words))

    def renew(self, call):
        """https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow."""
        refused = (
            401,
            {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.",
                "error_codes": [7000215],
                "correlation_id": "c",
            },
        )
        self.refuse_if(self.is_revoked, refused)
        wanted = {
            "grant_type": "client_credentials",
            "client_id": self.app,
            "client_secret": self.password,
            "scope": "https://api.botframework.com/.default",
        }
        self.require(
            call.path.split("/")[1] == "botframework.com" and call.form == wanted, refused, call.form
        )
        self.step(call)
        self.renewals += 1
        self.token = f"token-{self.renewals}"
        return 200, {
            "token_type": "Bearer",
            "expires_in": 3599,
            "ext_expires_in": 3599,
            "access_token": self.token,
        }

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True

    def post(self, call, rest):
        if call.json.get("type") == "typing":
            self.checked(call, TYPING, self.invalid)
            self.typed.append(True)
            return 201, {"id": "1"}
        body = self.checked(call, MESSAGE, self.invalid)
        self.require(body.get("text") or body.get("attachments"), self.invalid("empty"), "empty")
        self.require(not rest or rest[0] == self.inbound_id, self.invalid("replyToId"), rest)
        files = [(one.get("name"), one["contentUrl"]) for one in body.get("attachments", [])]

        self.require(
            not rest or unquote(call.path).split("/")[4] == self.addresses[-1],
            self.invalid("thread"),
            call.path,
        )

        def make(number):
            made = Made(
                str(1_795_300_000_000 + number),
                self.place,
                body.get("text"),
                rest[0] if rest else None,
                files,
            )
            return made, (201, {"id": made.id})

        return self.create(call, make)

    def judge(self):
        """botbuilder-schema reads every activity whole, and the answers."""
        for call in self.calls:
            if "/activities" in call.path and call.body:
                activity = Activity.deserialize(call.json)
                kept = activity.serialize()
                assert all(kept.get(name) == value for name, value in call.json.items()), (kept, call.json)
        assert ResourceResponse.deserialize({"id": "1"}).id == "1"


class TeamsChannel(Teams):
    """A thread of a channel: its address is the channel's with the id of the thread's first message."""

    only = frozenset({"text", "reply", "attachment"})
    place = "19:general@thread.tacv2"

    @property
    def addresses(self):
        return [self.place, f"{self.place};messageid=1795219100000"]

    def conversation(self):
        return {"id": self.addresses[-1], "conversationType": "channel", "isGroup": True}
