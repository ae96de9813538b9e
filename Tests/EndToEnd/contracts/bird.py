"""Bird's channels: https://docs.bird.com/api/channels-api/api-reference/messaging."""

import base64
import hashlib
import hmac
import secrets
import time
import uuid
from datetime import datetime, timezone

from contracts.base import ANY, Contract, Limit, Made, array, compact, fault_of, obj, one_of, string

WORKSPACE = "a1405560-c8d3-4b1a-877d-3f449ad95352"
CHANNEL = "52ad151f-1b35-4c3e-9d34-4a1e3c0d1b2f"
CUSTOMER = "+31612345678"
URL = string(pattern="^https?://")
CONTACT = obj({"identifierValue": string()}, identifierKey=one_of("phonenumber", "emailaddress"))
BODIES = {
    "text": obj({"type": one_of("text"), "text": obj({"text": string()}, metadata=ANY, actions=ANY)}),
    "image": obj(
        {
            "type": one_of("image"),
            "image": obj(
                {"images": array(obj({"mediaUrl": URL}, altText=string()), 10)}, text=string(), actions=ANY
            ),
        }
    ),
    "file": obj(
        {
            "type": one_of("file"),
            "file": obj(
                {"files": array(obj({"mediaUrl": URL, "contentType": string()}, filename=string()), 10)},
                text=string(),
                actions=ANY,
            ),
        }
    ),
}
MESSAGE = obj(
    {"receiver": obj({"contacts": array(CONTACT, 1)}), "body": ANY},
    reference=string(most=255),
    tags=ANY,
    notification=ANY,
    meta=ANY,
)


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Bird(Contract):
    platform = "bird"
    files = "url"
    has_echo = True
    place = f"{CHANNEL}:{CUSTOMER}"
    inbound_id = "0d7c3fd1-93ae-4f29-8f6b-b5b4d5ba5a4b"

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.key = secrets.token_urlsafe(24)

    def webhook_credentials(self):
        return {"signingKey": self.secret}

    def sending_credentials(self):
        return {"accessKey": self.key, "workspaceId": WORKSPACE, "apiURL": self.url}

    def event(self, account, name, payload):
        body = compact({"service": "channels", "event": name, "payload": payload})
        stamp = str(int(time.time()))
        signed = f"{stamp}\n{account['webhookUrl']}\n".encode() + hashlib.sha256(body).digest()
        code = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "MessageBird-Signature": base64.b64encode(code).decode(),
            "MessageBird-Request-Timestamp": stamp,
        }, body

    def contact(self):
        return {
            "id": "d4e8935a-1111-4a4a-8b8b-000000000001",
            "identifierKey": "phonenumber",
            "identifierValue": CUSTOMER,
            "annotations": {"name": "Ana"},
        }

    def message(self, identifier, body, status, reference, is_own):
        connector = {"connector": {"id": "60bf59d6", "identifierValue": ""}}
        sides = (
            (connector, {"contacts": [self.contact()]})
            if is_own
            else ({"contact": self.contact()}, connector)
        )
        return {
            "id": identifier,
            "channelId": CHANNEL,
            "sender": sides[0],
            "receiver": sides[1],
            "reference": reference,
            "parts": [{"platformReference": "wamid.HBg1"}],
            "direction": "outgoing" if is_own else "incoming",
            "status": status,
            "reason": "",
            "body": body,
            "createdAt": now(),
            "updatedAt": now(),
            "lastStatusAt": now(),
        }

    def inbound(self, account):
        body = {"type": "text", "text": {"text": "hello"}}
        return self.event(
            account, "whatsapp.inbound", self.message(self.inbound_id, body, "delivered", "", False)
        )

    def echo(self, account, made, status="sent"):
        body = made.call.json
        payload = self.message(made.id, body["body"], status, body.get("reference", ""), True)
        return self.event(account, "whatsapp.outbound", payload)

    def news(self, account, made, status):
        """What it became is told without what it says."""
        body = made.call.json
        names = {"delivered": "delivered", "failed": "delivery_failed"}
        payload = self.message(made.id, None, names[status], body.get("reference", ""), True)
        del payload["body"]
        payload["reason"] = "131026: no such number" if status == "failed" else ""
        return self.event(account, "whatsapp.outbound", payload)

    @staticmethod
    def error(status, code, words, headers=None):
        return status, {"code": code, "message": words}, headers or {}

    def limits(self):
        words = "The rate limit of the workspace was reached"
        return {
            "bare": Limit(self.error(429, "TooManyRequests", words), 0.5, most=15),
            "header": Limit(self.error(429, "TooManyRequests", words, {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        words = "The receiver is not reachable on this channel"
        return self.error(422, "InvalidPayload", words), "not reachable"

    def broken(self):
        return self.error(500, "InternalError", "Internal server error")

    def unauthorised(self):
        return self.error(401, "Unauthorized", "The access key is not valid")

    def invalid(self, words):
        return self.error(422, "InvalidPayload", str(words))

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"AccessKey {self.key}", self.unauthorised(), f"Authorization {given}")
        path = f"/workspaces/{WORKSPACE}/channels/{CHANNEL}/messages"
        missing = self.error(404, "NotFound", "no such path")
        self.require((call.method, call.path) == ("POST", path), missing, call.path)
        message = self.checked(call, MESSAGE, self.invalid)
        [contact] = message["receiver"]["contacts"]
        wanted = {"identifierKey": "phonenumber", "identifierValue": CUSTOMER}
        self.require(contact == wanted, self.invalid("receiver"), contact)
        body = message["body"]
        self.require(body.get("type") in BODIES, self.invalid("body"), body)
        wrong = fault_of(BODIES[body["type"]], body)
        self.require(wrong is None, self.invalid(wrong), wrong)
        content = body[body["type"]]
        files = [
            (one.get("filename"), one["mediaUrl"]) for one in content.get("images", content.get("files", []))
        ]

        def make(number):
            made = Made(str(uuid.uuid4()), self.place, content.get("text"), None, files)
            return made, (202, self.message(made.id, body, "accepted", message.get("reference", ""), True))

        return self.create(call, make)
