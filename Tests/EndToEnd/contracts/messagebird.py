"""MessageBird's Conversations API: https://developers.messagebird.com/api/conversations."""

import hashlib
import secrets
import time
from datetime import datetime, timezone

import jwt
import messagebird
from messagebird.http_client import HttpClient

from contracts.base import Contract, Limit, Made, compact, obj, one_of, string

CONVERSATION = "2e15efafec384e1c82e9842075e87beb"
CHANNEL = "853eeb5348e541a595da93b48c61a1ae"
CUSTOMER = "+31612345678"
NUMBER = "+31200000000"
URL = string(pattern="^https?://")
CONTENTS = {
    "text": obj({"text": string()}),
    "image": obj({"image": obj({"url": URL}, caption=string())}),
    "video": obj({"video": obj({"url": URL}, caption=string())}),
    "audio": obj({"audio": obj({"url": URL})}),
    "file": obj({"file": obj({"url": URL}, caption=string())}),
}


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class MessageBird(Contract):
    platform = "messagebird"
    files = "url"
    has_echo = True
    place = CONVERSATION
    inbound_id = "59b4c91f71574f33ad1c19ae9b0f4a4c"

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.key = secrets.token_urlsafe(18)

    def webhook_credentials(self):
        return {"signingKey": self.secret}

    def sending_credentials(self):
        return {"accessKey": self.key, "apiURL": self.url}

    def event(self, account, type_, message):
        body = compact(
            {
                "type": type_,
                "contact": {"id": "c1", "msisdn": 31612345678, "displayName": "Ana"},
                "conversation": {"id": CONVERSATION, "contactId": "c1", "status": "active"},
                "message": message,
            }
        )
        seconds = int(time.time())
        claims = {
            "iss": "MessageBird",
            "nbf": seconds,
            "exp": seconds + 60,
            "jti": secrets.token_hex(16),
            "url_hash": hashlib.sha256(account["webhookUrl"].encode()).hexdigest(),
            "payload_hash": hashlib.sha256(body).hexdigest(),
        }
        token = jwt.encode(claims, self.secret, algorithm="HS256")
        return {"Content-Type": "application/json", "MessageBird-Signature-JWT": token}, body

    def message(self, identifier, direction, status, content):
        [type_] = content
        people = (CUSTOMER, NUMBER) if direction == "received" else (NUMBER, CUSTOMER)
        return {
            "id": identifier,
            "conversationId": CONVERSATION,
            "channelId": CHANNEL,
            "platform": "whatsapp",
            "from": people[0],
            "to": people[1],
            "direction": direction,
            "status": status,
            "type": type_,
            "content": content,
            "createdDatetime": now(),
            "updatedDatetime": now(),
        }

    def inbound(self, account):
        message = self.message(self.inbound_id, "received", "received", {"text": "hello"})
        return self.event(account, "message.created", message)

    def echo(self, account, made):
        return self.event(
            account, "message.created", self.message(made.id, "sent", "sent", made.call.json["content"])
        )

    @staticmethod
    def error(status, code, words, headers=None):
        return status, {"errors": [{"code": code, "description": words}]}, headers or {}

    def limits(self):
        """https://developers.messagebird.com/api/#rate-limiting: 429, and no time."""
        return {
            "bare": Limit(self.error(429, 429, "too many requests"), 0.5, most=15),
            "header": Limit(self.error(429, 429, "too many requests", {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        words = "the conversation was archived"
        return self.error(422, 21, words), words

    def broken(self):
        return self.error(500, 99, "internal error")

    def unauthorised(self):
        return self.error(401, 2, "Request not allowed (incorrect access_key)")

    def invalid(self, words):
        return self.error(422, 21, str(words))

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"AccessKey {self.key}", self.unauthorised(), f"Authorization {given}")
        path = f"/v1/conversations/{CONVERSATION}/messages"
        self.require((call.method, call.path) == ("POST", path), self.error(404, 20, "not found"), call.path)
        type_ = call.json.get("type")
        self.require(type_ in CONTENTS, self.invalid("type"), type_)
        schema = obj(
            {"type": one_of(type_), "content": CONTENTS[type_]}, channelId=string(), reportUrl=URL, source={}
        )
        message = self.checked(call, schema, self.invalid)
        content = message["content"][type_]
        is_text = type_ == "text"
        text = content if is_text else content.get("caption")
        files = [] if is_text else [(None, content["url"])]

        def make(number):
            made = Made(secrets.token_hex(16), CONVERSATION, text, None, files)
            return made, (201, self.message(made.id, "sent", "pending", message["content"]))

        return self.create(call, make)

    def client(self):
        api = messagebird.Client(self.key, HttpClient(f"{self.url}/v1/", self.key, "python"))
        request = {"type": "text", "content": {"text": "by messagebird"}}
        return api.conversation_create_message(CONVERSATION, request).id
