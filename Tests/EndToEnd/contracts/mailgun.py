"""Mailgun's Messages API and webhooks: https://documentation.mailgun.com/docs/mailgun/api-reference."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from urllib.parse import urlencode

import mailgun.client

from contracts.base import Limit, compact, parts_of
from contracts.mail import ADDRESS, PERSON, SUBJECT, Mail

DOMAIN = "mg.example.com"
SINGLE = {"from", "subject", "text", "html", "amp-html", "template"}
REPEATED = {"to", "cc", "bcc", "attachment", "inline"}


class Mailgun(Mail):
    platform = "mailgun"

    def __init__(self):
        super().__init__()
        self.signing_key = secrets.token_hex(16)
        self.key = "key-" + secrets.token_hex(16)

    def webhook_credentials(self):
        return {"signingKey": self.signing_key, "address": ADDRESS}

    def sending_credentials(self):
        return {"apiKey": self.key, "apiURL": self.url}

    def signature(self):
        stamp, token = str(int(time.time())), secrets.token_hex(25)
        code = hmac.new(self.signing_key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        return {"timestamp": stamp, "token": token, "signature": code}

    def inbound(self, account):
        headers = self.thread()
        form = {
            "recipient": ADDRESS,
            "sender": PERSON,
            "subject": headers["Subject"],
            "from": headers["From"],
            "body-plain": "hello\r\n",
            "stripped-text": "hello",
            "message-headers": json.dumps(list(headers.items())),
        } | {name: value for name, value in headers.items() if name not in ("From", "Subject", "Message-ID")}
        form |= {"Message-Id": headers["Message-ID"]} | self.signature()
        return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()

    def news(self, account, made, status):
        names = {"delivered": "delivered", "failed": "failed"}
        variables = {
            name[2:]: parts[0].text for name, parts in parts_of(made.call).items() if name.startswith("v:")
        }
        event = {
            "event": names[status],
            "id": secrets.token_hex(11),
            "timestamp": time.time(),
            "log-level": "info",
            "message": {"headers": {"message-id": made.id, "from": ADDRESS, "to": PERSON}, "size": 341},
            "recipient": PERSON,
            "user-variables": variables,
            "campaigns": [],
            "tags": [],
        }
        if status == "failed":
            event |= {
                "severity": "permanent",
                "reason": "bounce",
                "delivery-status": {"code": 550, "message": "no such mailbox", "attempt-no": 1},
            }
        body = compact({"signature": self.signature(), "event-data": event})
        return {"Content-Type": "application/json"}, body

    def limits(self):
        """The page of response codes names no header: https://documentation.mailgun.com, Responses."""
        return {
            "bare": Limit((429, {"message": "Too many requests"}), 0.5, most=15),
            "header": Limit((429, {"message": "Too many requests"}, {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        words = "to parameter is not a valid address. please check documentation"
        return (400, {"message": words}), "not a valid address"

    def broken(self):
        return 500, {"message": "Internal Server Error"}

    def unauthorised(self):
        return 401, b"Forbidden", {"Content-Type": "text/plain"}

    def invalid(self, words):
        return 400, {"message": f"{words} parameter is not valid. please check documentation"}

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        login = base64.b64encode(f"api:{self.key}".encode()).decode()
        given = call.headers.get("authorization")
        self.require(given == f"Basic {login}", self.unauthorised(), f"Authorization {given}")
        missing = (404, {"message": f"Domain not found: {call.path}"})
        self.require((call.method, call.path) == ("POST", f"/v3/{DOMAIN}/messages"), missing, call.path)
        kind = call.headers.get("content-type", "")
        self.require(kind.startswith("multipart/form-data"), self.invalid("Content-Type"), kind)
        parts = parts_of(call)
        for name, values in parts.items():
            is_known = name in SINGLE | REPEATED or re.fullmatch(r"[htov]:[A-Za-z0-9-]+", name)
            self.require(is_known, self.invalid(name), name)
            self.require(len(values) == 1 or name in REPEATED, self.invalid(name), f"{name} is there twice")
            is_file = name in ("attachment", "inline")
            self.require(
                all((one.filename is not None) == is_file for one in values), self.invalid(name), name
            )
        self.require({"from", "to"} <= set(parts), self.invalid("from"), sorted(parts))
        self.require(
            {"text", "html"} & set(parts), (400, {"message": "Need at least one of 'text' or 'html'"}), ""
        )
        variables = sum(len(one[0].content) for name, one in parts.items() if name.startswith("v:"))
        self.require(variables <= 16_384, self.invalid("v:"), "too many variables")
        made = self.written(
            parts["from"][0].text,
            [one.text for one in parts["to"]],
            parts["subject"][0].text,
            parts.get("text", parts.get("html"))[0].text,
            {name[2:]: one[0].text for name, one in parts.items() if name.startswith("h:")},
            [(one.filename, one.content) for one in parts.get("attachment", [])],
        )
        return self.create(call, lambda number: (made, self.queued(made)))

    @staticmethod
    def queued(made):
        return 200, {"id": f"<{made.id}>", "message": "Queued. Thank you."}

    def client(self):
        api = mailgun.client.Client(auth=("api", self.key), api_url=self.url)
        mail = {
            "from": ADDRESS,
            "to": PERSON,
            "subject": f"Re: {SUBJECT}",
            "text": "by mailgun",
            "h:Message-Id": "<by-mailgun@mg.example.com>",
            "h:In-Reply-To": f"<{self.inbound_id}>",
            "h:References": f"<{self.place}> <{self.inbound_id}>",
        }
        # The library makes a form of parts only where there is a file.
        files = [("attachment", ("a.txt", b"a", "text/plain"))]
        return api.messages.create(data=mail, files=files, domain=DOMAIN).json()["id"][1:-1]
