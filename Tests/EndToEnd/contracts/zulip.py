"""Zulip's REST API: https://zulip.com/api/rest."""

import base64
import json
import re
import secrets
import time
from urllib.parse import parse_qs, unquote

import zulip as library

from contracts.base import Contract, Limit, Made, compact, parts_of

PEOPLE = [10, 11]
INBOUND = "113"
LINK = re.compile(r"\n?\[([^\]]+)\]\((/user_uploads/[^)]+)\)")
QUOTE = re.compile(r"^@_\*\*Ana\|10\*\* \[said\]\(\S+/#narrow/\S*near/(\d+)\S*\):\n```quote\nhello\n```\n")


class Zulip(Contract):
    platform = "zulip"
    has_reply_steps = True
    files = "upload"
    has_albums = True
    has_steps = True
    has_typing = True
    place = "direct:10,11"
    inbound_id = INBOUND
    longest = "x" * 10_000

    PARAMETERS = {
        "type",
        "to",
        "content",
        "topic",
        "subject",
        "queue_id",
        "local_id",
        "read_by_sender",
        "client",
    }

    def __init__(self):
        super().__init__()
        self.hook = secrets.token_hex(16)
        self.key = secrets.token_hex(16)
        self.uploads = {}

    def webhook_credentials(self):
        return {"token": self.hook}

    def sending_credentials(self):
        return {"apiKey": self.key, "email": "hub-bot@zulip.example.com", "server": self.url}

    def inbound(self, account):
        people = [
            {"id": 10, "email": "ana@example.com", "full_name": "Ana"},
            {"id": 11, "email": "hub-bot@zulip.example.com", "full_name": "Hub"},
        ]
        return self.hooked("direct_message", type="private", display_recipient=people)

    def hooked(self, trigger, **more):
        message = {
            "id": int(INBOUND),
            "content": "hello",
            "sender_id": 10,
            "sender_email": "ana@example.com",
            "sender_full_name": "Ana",
            "timestamp": int(time.time()),
            "client": "website",
            "rendered_content": "<p>hello</p>",
        } | more
        body = compact(
            {
                "bot_email": "hub-bot@zulip.example.com",
                "bot_full_name": "Hub",
                "data": "hello",
                "token": self.hook,
                "trigger": trigger,
                "message": message,
            }
        )
        return {"Content-Type": "application/json"}, body

    @staticmethod
    def error(status, words, code="BAD_REQUEST", **more):
        return status, {"result": "error", "msg": words, "code": code} | more

    def limits(self):
        """https://zulip.com/api/http-headers#rate-limiting-response-headers: decimals in the body."""
        words = "API usage exceeded rate limit"
        status, body = self.error(429, words, "RATE_LIMIT_HIT", **{"retry-after": 1.687})
        headers = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0"}
        return {
            "body": Limit((status, body, headers | {"Retry-After": "1.687"}), 1.687),
            "header": Limit((429, b"<html></html>", {"Retry-After": "2", "Content-Type": "text/html"}), 2),
        }

    def refusal(self):
        return self.error(400, "Message sending is not allowed here.", "BAD_REQUEST"), "not allowed"

    def broken(self):
        return self.error(500, "Internal server error", "INTERNAL_SERVER_ERROR")

    def unauthorised(self):
        return self.error(401, "Invalid API key", "INVALID_API_KEY")

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        login = base64.b64encode(f"hub-bot@zulip.example.com:{self.key}".encode()).decode()
        given = call.headers.get("authorization")
        self.require(given == f"Basic {login}", self.unauthorised(), f"Authorization {given}")
        path = unquote(call.path.removeprefix("/api/v1/"))
        if (call.method, path) == ("POST", "messages"):
            return self.send(call)
        if (call.method, path) == ("POST", "user_uploads"):
            return self.upload(call)
        if (call.method, path) == ("GET", "server_settings"):
            return 200, {"result": "success", "msg": "", "zulip_version": "11.0", "zulip_feature_level": 421}
        if (call.method, path) == ("POST", "typing"):
            form = self.form(call)
            self.require(form.pop("op") in ("start", "stop"), self.error(400, "op"), form)
            self.require(form.pop("type", "direct") in ("direct", "private"), self.error(400, "type"), form)
            self.require(form == {"to": "[10,11]"}, self.error(400, "to"), form)
            self.typed.append(True)
            return 200, {"result": "success", "msg": ""}
        parts = path.split("/")
        missing = self.error(404, "Page not found")
        self.require(parts[0] == "messages" and len(parts) >= 2, missing, f"{call.method} {path}")
        ids = {made.id for made in self.made} | {INBOUND}
        self.require(parts[1] in ids, self.error(400, "Invalid message(s)"), path)
        if parts[2:] == ["reactions"]:
            return self.react(call, parts[1])
        self.require(len(parts) == 2, missing, path)
        return getattr(self, call.method.lower())(call, parts[1])

    def form(self, call):
        kind = call.headers.get("content-type", "").split(";")[0]
        self.require(kind == "application/x-www-form-urlencoded", self.error(400, "form"), kind)
        return {
            name: values[-1] for name, values in parse_qs(call.body.decode(), keep_blank_values=True).items()
        }

    def get(self, call, identifier):
        self.require(call.query.get("apply_markdown") == "false", self.error(400, "markdown"), call.query)
        self.step(call)
        message = {
            "id": int(identifier),
            "type": "private",
            "content": "hello",
            "sender_id": 10,
            "sender_full_name": "Ana",
            "sender_email": "ana@example.com",
            "timestamp": int(time.time()),
            "subject": "",
            "display_recipient": [],
        }
        return 200, {"result": "success", "msg": "", "message": message, "raw_content": "hello"}

    def patch(self, call, identifier):
        form = self.form(call)
        known = {"content", "topic", "propagate_mode", "stream_id", "prev_content_sha256"}
        self.require(set(form) <= known, self.error(400, "parameters"), form)
        self.edits.append((identifier, form["content"]))
        return 200, {"result": "success", "msg": "", "detached_uploads": []}

    def delete(self, call, identifier):
        self.deleted.append(identifier)
        return 200, {"result": "success", "msg": ""}

    def react(self, call, identifier):
        self.require(call.method in ("POST", "DELETE"), self.error(405, "Method Not Allowed"), call.method)
        form = dict(call.query) | (self.form(call) if call.body else {})
        wrong = self.error(400, f"Emoji '{form.get('emoji_name')}' does not exist")
        self.require(form.get("emoji_name") in ("+1", "thumbs_up") and len(form) == 1, wrong, form)
        self.reactions.append((identifier, "👍", call.method == "POST"))
        return 200, {"result": "success", "msg": ""}

    def upload(self, call):
        parts = parts_of(call)
        self.require(
            len(parts) == 1, self.error(400, "You may only upload one file at a time"), sorted(parts)
        )
        [[file]] = parts.values()
        self.step(call)
        url = f"/user_uploads/2/ab/{len(self.uploads)}/{file.filename}"
        self.uploads[url] = (file.filename, file.content)
        return 200, {"result": "success", "msg": "", "uri": url, "url": url, "filename": file.filename}

    def send(self, call):
        form = self.form(call)
        self.require(set(form) <= self.PARAMETERS, self.error(400, "parameters"), sorted(form))
        self.addressed(form)
        content = form.get("content", "")
        self.require(content.strip(), self.error(400, "Message must not be empty"), "empty")
        self.require(len(content) <= 10_000 + 200, self.error(400, "Message too long"), len(content))
        quote = QUOTE.match(content)
        for _, url in LINK.findall(content):
            self.require(url in self.uploads, self.error(400, "no such file"), url)
        files = [self.uploads[url] for _, url in LINK.findall(content)]

        def make(number):
            made = Made(
                str(9000 + number),
                self.place,
                LINK.sub("", QUOTE.sub("", content)),
                quote and quote[1],
                files,
            )
            return made, (200, {"result": "success", "msg": "", "id": 9000 + number})

        return self.create(call, make)

    def addressed(self, form):
        self.require(
            form.get("type") in ("private", "direct"), self.error(400, "Invalid type"), form.get("type")
        )
        to = json.loads(form["to"])
        to = to if isinstance(to, list) else [to]
        self.require(sorted(to) == PEOPLE, self.error(400, "Invalid user ID"), to)

    def client(self):
        client = library.Client(
            email="hub-bot@zulip.example.com", api_key=self.key, site=self.url, client="judge"
        )
        answer = client.send_message({"type": "private", "to": PEOPLE, "content": "by zulip"})
        assert answer["result"] == "success", answer
        return answer["id"]


class ZulipChannel(Zulip):
    """A channel's messages have topics: an answer has that of its message, or the one last spoken of."""

    only = frozenset({"text", "reply", "attachment", "reaction", "edit", "deletion"})
    place = "5"
    topic = None

    def inbound(self, account):
        return self.hooked(
            "mention", type="stream", stream_id=5, display_recipient="support", subject="orders"
        )

    def get(self, call, identifier):
        status, body = super().get(call, identifier)
        body["message"] |= {"type": "stream", "stream_id": 5, "subject": "orders"}
        return status, body

    def addressed(self, form):
        kind = form.get("type")
        self.require(kind in ("stream", "channel"), self.error(400, "Invalid type"), kind)
        to = json.loads(form["to"])
        self.require(to in (5, [5]), self.error(400, "Invalid channel"), to)
        # The organization wants topics, as many do.
        missing = self.error(400, "Topics are required in this organization.")
        self.require(form.get("topic") == "orders", missing, form)
