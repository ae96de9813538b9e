"""signal-cli-rest-api: https://github.com/bbernhard/signal-cli-rest-api, src/docs/swagger.json.

A message is known by who sent it and when; the account's own by `own` in place of who.
"""

import base64
import re
import secrets
import time

import requests

from contracts.base import (
    BOOLEAN,
    Contract,
    INTEGER,
    Limit,
    Made,
    STRING,
    array,
    compact,
    obj,
    one_of,
    string,
)

NUMBER = "+33123456789"
PERSON = "b1b1b1b1-0000-4000-8000-000000000001"
# A group as signal-cli has it, and as the interface names it: encoded once more.
GROUP = base64.b64encode(bytes(range(32))).decode()
GROUP_NAME = "group." + base64.b64encode(GROUP.encode()).decode()
SEND = obj(
    {"number": one_of(NUMBER), "recipients": array(string(), 1)},
    message=string(least=0),
    base64_attachments=array(string()),
    sticker=STRING,
    mentions=array({}),
    quote_timestamp=INTEGER,
    quote_author=STRING,
    quote_message=STRING,
    quote_mentions=array({}),
    text_mode=one_of("normal", "styled"),
    edit_timestamp=INTEGER,
    notify_self=BOOLEAN,
    link_preview={},
    view_once=BOOLEAN,
)
RECIPIENT = {"recipient": STRING}
REACTION = obj(RECIPIENT | {"reaction": STRING, "target_author": STRING, "timestamp": INTEGER})
# A receipt goes to who wrote, also in a group.
RECEIPT = obj({"recipient": one_of(PERSON), "receipt_type": one_of("read", "viewed"), "timestamp": INTEGER})
FILE = re.compile(r"data:([a-z]+/[A-Za-z0-9.+-]+);filename=([^;,]+);base64,([A-Za-z0-9+/]+={0,2})")


class Signal(Contract):
    platform = "signal"
    files = "upload"
    place = PERSON
    has_typing = True
    has_receipts = True
    recipient = PERSON

    def __init__(self):
        super().__init__()
        self.said_at = int(time.time() * 1000)
        self.inbound_id = f"{PERSON}:{self.said_at}"
        self.token = secrets.token_hex(16)
        self.last = 0

    def webhook_credentials(self):
        return {"token": self.token}

    def sending_credentials(self):
        return {"server": self.url, "number": NUMBER}

    def deliver(self, hub, account, delivery):
        headers, body = delivery
        path = f"/webhooks/{self.platform}/{account['accountKey']}?token={self.token}"
        response = requests.post(hub.url + path, data=body, headers=headers, timeout=15)
        assert 200 <= response.status_code <= 299, f"{response.status_code} {response.text}"

    def inbound(self, account):
        envelope = {
            "source": "+33611111111",
            "sourceNumber": "+33611111111",
            "sourceUuid": PERSON,
            "sourceName": "Ana",
            "sourceDevice": 1,
            "timestamp": self.said_at,
            "serverReceivedTimestamp": self.said_at + 1,
            "serverDeliveredTimestamp": self.said_at + 2,
            "dataMessage": {
                "timestamp": self.said_at,
                "message": "hello",
                "expiresInSeconds": 0,
                "viewOnce": False,
            }
            | self.group(),
        }
        parameters = {"envelope": envelope, "account": NUMBER}
        body = {"jsonrpc": "2.0", "method": "receive", "params": parameters}
        return {"Content-Type": "application/json"}, compact(body) + b"\n"

    def group(self):
        return {}

    def addressed(self, body):
        found = body.get("recipient") or body["recipients"][0]
        self.require(found == self.recipient, self.invalid("recipient"), found)
        return body

    def limits(self):
        """429, with what a captcha is solved for. It names no time: then five minutes are waited."""
        words = "Rate limit exceeded"
        body = {"error": words, "challenge_tokens": ["4d1b"], "account": NUMBER}
        return {"header": Limit((429, body, {"Retry-After": "2"}), 2)}

    def minute(self):
        return 429, {"error": "Rate limit exceeded", "challenge_tokens": ["4d1b"], "account": NUMBER}

    def refusal(self):
        words = "Unregistered user: the recipient is not on Signal"
        return (400, {"error": words}), "not on Signal"

    def broken(self):
        """All that did not work is 400: only signal-cli's words say that it was the network."""
        return 400, {"error": "Failed to send message: Connection closed (IOException)"}

    def unauthorised(self):
        return 400, {"error": f"User {NUMBER} is not registered."}

    def invalid(self, words):
        return 400, {"error": f"Couldn't process request - {words}"}

    def stamp(self):
        self.last = max(self.last + 1, int(time.time() * 1000))
        return self.last

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        self.require("authorization" not in call.headers, self.invalid("Authorization"), "a credential")
        if call.path == "/v2/send":
            return self.send(call)
        name, number = re.fullmatch(r"/v1/([a-z-]+)/([^/]+)", call.path).groups()
        self.require(requests.utils.unquote(number) == NUMBER, self.invalid("number"), number)
        does = {
            ("POST", "reactions"): self.react,
            ("DELETE", "reactions"): self.react,
            ("POST", "receipts"): self.receipt,
            ("PUT", "typing-indicator"): self.type,
            ("DELETE", "typing-indicator"): self.type,
            ("DELETE", "remote-delete"): self.delete,
        }.get((call.method, name))
        self.require(does, (404, b"404 page not found", {"Content-Type": "text/plain"}), call.path)
        return does(call)

    def react(self, call):
        body = self.addressed(self.checked(call, REACTION, self.invalid))
        target = f"{body['target_author']}:{body['timestamp']}"
        self.reactions.append((target, body["reaction"], call.method == "POST"))
        return 204, b""

    def receipt(self, call):
        body = self.checked(call, RECEIPT, self.invalid)
        self.seen.append(f"{body['recipient']}:{body['timestamp']}")
        return 204, b""

    def type(self, call):
        self.addressed(self.checked(call, obj(RECIPIENT), self.invalid))
        self.typed.append(call.method == "PUT")
        return 204, b""

    def delete(self, call):
        body = self.addressed(self.checked(call, obj(RECIPIENT | {"timestamp": INTEGER}), self.invalid))
        self.deleted.append(f"own:{body['timestamp']}")
        return 201, {"timestamp": str(self.stamp())}

    def send(self, call):
        self.require(call.method == "POST", (404, b"404 page not found", {}), call.method)
        body = self.addressed(self.checked(call, SEND, self.invalid))
        quote = [name in body for name in ("quote_timestamp", "quote_author")]
        self.require(len(set(quote)) == 1, self.invalid("quote"), "half a quotation")
        files = []
        for file in body.get("base64_attachments", []):
            form = FILE.fullmatch(file)
            self.require(form, self.invalid("attachment"), file[:80])
            files.append((form[2], base64.b64decode(form[3])))
        text = body.get("message") or None
        self.require(text or files or "sticker" in body, self.invalid("empty"), "an empty message")
        if "edit_timestamp" in body:
            self.edits.append((f"own:{body['edit_timestamp']}", text))
            return 201, {"timestamp": str(self.stamp())}
        reply = f"{body['quote_author']}:{body['quote_timestamp']}" if all(quote) else None

        def make(number):
            stamp = self.stamp()
            return Made(f"own:{stamp}", self.place, text, reply, files), (201, {"timestamp": str(stamp)})

        return self.create(call, make)


class SignalGroup(Signal):
    """A group: what is said, changed and shown goes to it, and receipts to who wrote."""

    only = frozenset(
        {
            "text",
            "reply",
            "attachment",
            "reaction",
            "edit",
            "deletion",
            "typing",
            "receipt",
            "refused",
            "swallowed",
        }
    )
    place = GROUP
    recipient = GROUP_NAME

    def group(self):
        return {"groupInfo": {"groupId": GROUP, "groupName": "Team", "revision": 3, "type": "DELIVER"}}
