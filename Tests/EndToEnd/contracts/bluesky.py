"""Bluesky's chat: the lexicons chat.bsky.convo.* and com.atproto.server.*, by XRPC."""

import base64
import json
import secrets
import time
from datetime import datetime, timezone

from atproto import models
from atproto_client.models.utils import get_or_create

from contracts.base import Contract, Limit, Made
from hub import wait_until

CONVO = "3kabcconvo2a"
OWN = "did:plc:ownownownownownownown"
ANA = "did:plc:anaanaanaanaanaanaana"
INBOUND = "3kabcmessagein"
PROXY = "did:web:api.bsky.chat#bsky_chat"


def stamp():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Bluesky(Contract):
    """Only polled: the inbound message is in the log that the hub reads."""

    platform = "bluesky"
    has_tokens = True
    place = CONVO
    inbound_id = INBOUND
    # A thousand graphemes, of several code points each, and ten thousand bytes.
    longest = "👍🏽" * 1000
    too_long = ("👩‍👩‍👧" * 900,)

    MODELS = {
        "sendMessage": models.ChatBskyConvoSendMessage.Data,
        "addReaction": models.ChatBskyConvoAddReaction.Data,
        "removeReaction": models.ChatBskyConvoRemoveReaction.Data,
        "updateRead": models.ChatBskyConvoUpdateRead.Data,
    }

    def __init__(self):
        super().__init__()
        self.password = "abcd-efgh-ijkl-" + secrets.token_hex(2)
        self.access = self.refresh = None
        self.log = []
        self.sessions = 0

    def webhook_credentials(self):
        return {"identifier": "hub.example.com", "appPassword": self.password, "apiURL": self.url}

    def sending_credentials(self):
        return {"appPassword": self.password}

    def open(self, scene):
        wait_until(lambda: scene.record()["polling"]["polledAt"], 20, "the first poll")
        message = self.view(INBOUND, "hello", ANA)
        entry = {
            "$type": "chat.bsky.convo.defs#logCreateMessage",
            "rev": "3l2",
            "convoId": CONVO,
            "message": message,
        }
        with self.lock:
            self.log.append(entry)
        # A change of the account has it polled at once.
        scene.patch(credentials=self.sending_credentials())
        wait_until(lambda: scene.user.conversations(account=scene.account["id"]), 20, "the message")
        scene.patch(settings={"polling": "off"})

    @staticmethod
    def error(status, name, words, headers=None):
        return status, {"error": name, "message": words}, headers or {}

    def limits(self):
        """RateLimit-Reset is a second of the Unix era."""
        headers = {
            "RateLimit-Limit": "3000",
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(int(time.time()) + 6),
            "RateLimit-Policy": "3000;w=300",
        }
        return {
            "reset": Limit(self.error(429, "RateLimitExceeded", "Rate Limit Exceeded", headers), 2, most=10),
            "bare": Limit(self.error(429, "RateLimitExceeded", "Rate Limit Exceeded"), 0.5, most=15),
        }

    def refusal(self):
        words = "recipient has disabled incoming messages"
        return self.error(400, "MessagesDisabled", words), words

    def broken(self):
        return self.error(500, "InternalServerError", "Internal Server Error")

    def jwt(self, scope, seconds):
        claims = {"sub": OWN, "scope": scope, "iat": int(time.time()), "exp": int(time.time()) + seconds}
        parts = [{"alg": "HS256", "typ": "at+jwt"}, claims]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return ".".join(encoded) + "." + secrets.token_urlsafe(32)

    def route(self, call):
        name = call.path.removeprefix("/xrpc/")
        if name == "com.atproto.server.createSession":
            return self.create_session(call)
        if name == "com.atproto.server.refreshSession":
            return self.refresh_session(call)
        given = call.headers.get("authorization")
        self.refuse_if(
            given != f"Bearer {self.access}" and self.is_expired,
            self.error(400, "ExpiredToken", "Token has expired"),
        )
        self.require(given == f"Bearer {self.access}", self.error(401, "InvalidToken", "Bad token"), given)
        unknown = self.error(501, "MethodNotImplemented", "Method Not Implemented")
        self.require(name.startswith("chat.bsky.convo."), unknown, name)
        proxy = call.headers.get("atproto-proxy")
        self.require(proxy == PROXY, unknown, f"atproto-proxy {proxy}")
        method = name.removeprefix("chat.bsky.convo.")
        if call.method == "GET":
            return self.query(call, method)
        self.require(method in self.MODELS and call.method == "POST", unknown, name)
        self.require(call.headers["content-type"].startswith("application/json"), unknown, "Content-Type")
        # The lexicon, as the library has it: what is required, of which type, and how long.
        get_or_create(call.json, self.MODELS[method], strict=True)
        known = set(self.MODELS[method].model_fields)
        extra = {name for name in call.json if name not in {self.snake(one) for one in known} | known}
        self.require(not extra, self.error(400, "InvalidRequest", "extra"), extra)
        self.require(
            call.json["convoId"] == CONVO, self.error(400, "InvalidConvo", "no such convo"), call.json
        )
        return getattr(self, method)(call, call.json)

    @staticmethod
    def snake(name):
        head, *rest = name.split("_")
        return head + "".join(part.title() for part in rest)

    def create_session(self, call):
        refused = self.error(401, "AuthenticationRequired", "Invalid identifier or password")
        self.refuse_if(self.is_revoked, refused)
        wanted = {"identifier": "hub.example.com", "password": self.password}
        self.require(call.json == wanted, refused, call.json)
        self.sessions += 1
        return self.session()

    def refresh_session(self, call):
        self.refuse_if(self.is_revoked, self.error(400, "ExpiredToken", "Token has been revoked"))
        given = call.headers.get("authorization")
        self.require(
            given == f"Bearer {self.refresh}", self.error(400, "InvalidToken", "Token reused"), given
        )
        self.require(
            not call.body, self.error(400, "InvalidRequest", "A request body was provided"), call.body
        )
        self.step(call)
        self.renewals += 1
        return self.session()

    def session(self):
        self.access, self.refresh = self.jwt("com.atproto.appPass", 7200), self.jwt(
            "com.atproto.refresh", 5_000_000
        )
        return 200, {
            "accessJwt": self.access,
            "refreshJwt": self.refresh,
            "handle": "hub.example.com",
            "did": OWN,
            "active": True,
        }

    def expire(self):
        self.access, self.is_expired = "gone", True

    def convo(self):
        members = [
            {"did": OWN, "handle": "hub.example.com"},
            {"did": ANA, "handle": "ana.example.com", "displayName": "Ana"},
        ]
        return {
            "id": CONVO,
            "rev": "3l1",
            "members": members,
            "muted": False,
            "unreadCount": 0,
            "status": "accepted",
        }

    def query(self, call, method):
        """Reading, as far as it is needed to have the message come."""
        if method == "listConvos":
            return 200, {"convos": [self.convo()]}
        if method == "getConvo":
            return 200, {"convo": self.convo()}
        if method == "getLog":
            since = call.query.get("cursor", "")
            logs = [entry for entry in self.log if entry["rev"] > since]
            return 200, {"logs": logs, "cursor": logs[-1]["rev"] if logs else since}
        return 200, {"messages": []}

    def view(self, identifier, text, sender):
        return {
            "$type": "chat.bsky.convo.defs#messageView",
            "id": identifier,
            "rev": "3l2",
            "text": text,
            "sender": {"did": sender},
            "sentAt": stamp(),
        }

    def sendMessage(self, call, body):
        message = body["message"]
        text = message["text"]
        size = len(text.encode())
        self.require(size <= 10_000, self.error(400, "InvalidRequest", "too long"), size)
        reply = message.get("replyTo", {}).get("messageId")
        self.require(
            reply in (None, INBOUND), self.error(400, "ReplyTargetNotFound", "no such message"), reply
        )

        def make(number):
            made = Made(f"3kabcout{number}", CONVO, text, reply)
            return made, (200, self.view(made.id, text, OWN))

        return self.create(call, make)

    def react(self, body, is_set):
        self.require(body["messageId"] == INBOUND, self.error(400, "InvalidRequest", "message"), body)
        self.reactions.append((body["messageId"], body["value"], is_set))
        return 200, {"message": self.view(body["messageId"], "hello", ANA)}

    def addReaction(self, call, body):
        return self.react(body, True)

    def removeReaction(self, call, body):
        return self.react(body, False)
