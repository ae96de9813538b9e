"""Google Chat: https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages."""

import json
import re
import secrets
import time
from datetime import datetime, timezone

import jwt
from cryptography.hazmat.primitives import serialization

from catalogue import private_key
from contracts.base import ANY, Contract, Limit, Made, array, compact, obj, string

TEST_KEY = private_key()
SPACE = "spaces/DDDD"
INBOUND = f"{SPACE}/messages/BBBB.BBBB"
THREAD = f"{SPACE}/threads/BBBB"
AUDIENCE = "1234567890"
ACCOUNT = "hub@project.iam.gserviceaccount.com"
MESSAGE = obj(
    text=string(32_000),
    cardsV2=array(ANY),
    thread=obj(name=string(), threadKey=string()),
    fallbackText=string(),
    quotedMessageMetadata=obj({"name": string(), "lastUpdateTime": string()}, quoteType=string()),
    privateMessageViewer=ANY,
    accessoryWidgets=ANY,
)
LINK = re.compile(r"\n?<(https?://[^|>]+)\|([^>]+)>")


def now():
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class GoogleChat(Contract):
    platform = "google-chat"
    does_once = True
    has_tokens = True
    has_reply_steps = True
    files = "url"
    has_albums = True
    place = SPACE
    inbound_id = INBOUND
    longest = "x" * 32_000
    too_long = ("ж" * 16_001,)

    def __init__(self):
        super().__init__()
        self.token = None
        self.inbound_time = now()

    def webhook_credentials(self):
        return {"audience": AUDIENCE, "testKey": TEST_KEY}

    def sending_credentials(self):
        key = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "k1",
            "private_key": TEST_KEY,
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }
        return {"serviceAccountKey": json.dumps(key), "apiURL": self.url}

    def inbound(self, account):
        person = {"name": "users/12345", "displayName": "Chuck", "type": "HUMAN"}
        space = {"name": SPACE, "type": "DM", "spaceType": "DIRECT_MESSAGE", "singleUserBotDm": True}
        message = {
            "name": INBOUND,
            "sender": person,
            "createTime": self.inbound_time,
            "text": "hello",
            "argumentText": "hello",
            "space": space,
            "thread": {"name": THREAD},
        }
        body = compact(
            {
                "type": "MESSAGE",
                "eventTime": self.inbound_time,
                "message": message,
                "space": space,
                "user": person,
            }
        )
        seconds = int(time.time())
        claims = {
            "iss": "chat@system.gserviceaccount.com",
            "aud": AUDIENCE,
            "iat": seconds,
            "exp": seconds + 3600,
        }
        token = jwt.encode(claims, TEST_KEY, algorithm="RS256", headers={"kid": "testKey"})
        return {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}, body

    @staticmethod
    def error(status, name, words, **headers):
        return status, {"error": {"code": status, "message": words, "status": name}}, headers

    def limits(self):
        words = "Resource has been exhausted (e.g. check quota)."
        return {
            "header": Limit(self.error(429, "RESOURCE_EXHAUSTED", words, **{"Retry-After": "2"}), 2),
            "bare": Limit(self.error(429, "RESOURCE_EXHAUSTED", words), 0.5, most=70),
        }

    def refusal(self):
        words = "This Chat app is not a member of the space."
        return self.error(403, "PERMISSION_DENIED", words), "not a member"

    def broken(self):
        return self.error(500, "INTERNAL", "Internal error encountered.")

    def route(self, call):
        if call.path == "/token":
            return self.renew(call)
        given = call.headers.get("authorization")
        words = "Request had invalid authentication credentials."
        denied = self.error(401, "UNAUTHENTICATED", words)
        self.refuse_if(self.is_expired and given != f"Bearer {self.token}", denied)
        self.require(given == f"Bearer {self.token}", denied, f"Authorization {given}")
        name = call.path.removeprefix("/v1/")
        if (call.method, name) == ("POST", f"{SPACE}/messages"):
            return self.send(call)
        known = {made.id for made in self.made} | {INBOUND}
        self.require(name in known, self.error(404, "NOT_FOUND", "Requested entity was not found."), name)
        if call.method == "GET":
            self.step(call)
            return 200, self.document(name, "hello", self.inbound_time)
        self.require(name != INBOUND, self.error(403, "PERMISSION_DENIED", "not yours"), name)
        if call.method == "DELETE":
            self.deleted.append(name)
            return 200, {}
        self.require(call.method in ("PATCH", "PUT"), self.error(405, "UNIMPLEMENTED", "no"), call.method)
        self.require(call.query == {"updateMask": "text"}, self.invalid("updateMask"), call.query)
        body = self.checked(call, obj({"text": string(32_000)}), self.invalid)
        self.edits.append((name, body["text"]))
        return 200, self.document(name, body["text"], now())

    def invalid(self, words):
        return self.error(400, "INVALID_ARGUMENT", str(words))

    def renew(self, call):
        """https://developers.google.com/identity/protocols/oauth2/service-account#httprest."""
        refused = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        self.refuse_if(self.is_revoked, refused)
        form = call.form
        self.require(
            form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            and set(form) == {"grant_type", "assertion"},
            refused,
            form,
        )
        public = serialization.load_pem_private_key(TEST_KEY.encode(), None).public_key()
        claims = jwt.decode(form["assertion"], public, algorithms=["RS256"], audience=f"{self.url}/token")
        self.require(jwt.get_unverified_header(form["assertion"])["kid"] == "k1", refused, "kid")
        self.require(claims["iss"] == ACCOUNT and 0 < claims["exp"] - claims["iat"] <= 3600, refused, claims)
        self.require("https://www.googleapis.com/auth/chat.bot" in claims["scope"].split(), refused, claims)
        self.step(call)
        self.renewals += 1
        self.token = f"ya29.{self.renewals}"
        return 200, {"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"}

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True

    def document(self, name, text, at, thread=THREAD):
        return {
            "name": name,
            "sender": {"name": "users/1", "displayName": "hub", "type": "BOT"},
            "createTime": at,
            "lastUpdateTime": at,
            "text": text,
            "thread": {"name": thread},
            "space": {"name": SPACE},
        }

    def send(self, call):
        body = self.checked(call, MESSAGE, self.invalid)
        known = {"requestId", "messageReplyOption", "messageId", "threadKey"}
        self.require(set(call.query) <= known, self.invalid("query"), call.query)
        self.require(
            body.get("text") or body.get("cardsV2"), self.invalid("Message cannot be empty."), "empty"
        )
        option = call.query.get("messageReplyOption")
        options = (None, "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD", "REPLY_MESSAGE_OR_FAIL")
        self.require(option in options, self.invalid("messageReplyOption"), option)
        quoted = body.get("quotedMessageMetadata")
        if quoted:
            # It has to be the quoted message as it is now, in the same thread.
            self.require(
                quoted["lastUpdateTime"] == self.inbound_time, self.invalid("lastUpdateTime"), quoted
            )
            self.require(body.get("thread", {}).get("name") == THREAD, self.invalid("thread"), body)
        text = body.get("text", "")
        files = [(name, url) for url, name in LINK.findall(text)]

        def make(number):
            name = f"{SPACE}/messages/OUT{number}.OUT{number}"
            made = Made(name, SPACE, LINK.sub("", text), quoted and quoted["name"], files)
            return made, (200, self.document(name, text, now()))

        return self.create(call, make, call.query.get("requestId"), lambda before: before[1])
