"""Intercom's API: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations."""

import hashlib
import hmac
import html
import re
import secrets
import time

from contracts.base import ANY, BOOLEAN, Contract, INTEGER, Limit, Made, array, compact, obj, one_of, string

CONVERSATION = "123"
ADMIN = "814860"
REPLY = obj(
    {"message_type": one_of("comment", "note", "quick_reply"), "type": one_of("admin"), "admin_id": string()},
    body=string(),
    attachment_urls=array(string(pattern="^https?://"), 10),
    attachment_files=ANY,
    created_at=INTEGER,
    skip_notifications=BOOLEAN,
    reply_options=ANY,
)


class Intercom(Contract):
    platform = "intercom"
    files = "url"
    has_albums = True
    has_echo = True
    place = CONVERSATION
    inbound_id = "p1"

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.token = "dG9r" + secrets.token_hex(16)

    def webhook_credentials(self):
        return {"clientSecret": self.secret, "appId": "a86dr8yl"}

    def sending_credentials(self):
        return {"accessToken": self.token, "apiURL": self.url}

    def notification(self, topic, part):
        now = int(time.time())
        author = {"type": "user", "id": "5310", "name": "Ana", "email": "ana@example.com"}
        item = {
            "type": "conversation",
            "id": CONVERSATION,
            "created_at": now - 60,
            "source": {
                "type": "conversation",
                "id": "s1",
                "body": "<p>first</p>",
                "author": author,
                "attachments": [],
            },
            "conversation_parts": {"type": "conversation_part.list", "conversation_parts": [part]},
        }
        body = compact(
            {
                "type": "notification_event",
                "app_id": "a86dr8yl",
                "id": "notif_" + secrets.token_hex(4),
                "topic": topic,
                "created_at": now,
                "delivery_attempts": 1,
                "first_sent_at": now,
                "data": {"type": "notification_event_data", "item": item},
            }
        )
        digest = hmac.new(self.secret.encode(), body, hashlib.sha1).hexdigest()
        return {"Content-Type": "application/json", "X-Hub-Signature": f"sha1={digest}"}, body

    def part(self, identifier, author, body):
        return {
            "type": "conversation_part",
            "id": identifier,
            "part_type": "comment",
            "body": body,
            "attachments": [],
            "created_at": int(time.time()),
            "updated_at": int(time.time()),
            "author": author,
            "redacted": False,
        }

    def inbound(self, account):
        person = {"type": "user", "id": "5310", "name": "Ana", "email": "ana@example.com"}
        return self.notification("conversation.user.replied", self.part("p1", person, "<p>hello</p>"))

    def admin(self):
        return {"type": "admin", "id": ADMIN, "name": "Hub", "email": "hub@example.com"}

    def echo(self, account, made):
        part = self.part(made.id, self.admin(), made.call.json["body"])
        return self.notification("conversation.admin.replied", part)

    @staticmethod
    def error(status, code, words, headers=None):
        body = {"type": "error.list", "request_id": "b2dvl7j", "errors": [{"code": code, "message": words}]}
        return status, body, headers or {}

    def limits(self):
        """https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting: a second."""
        words = "The rate limit for the App has been exceeded"
        headers = {
            "X-RateLimit-Limit": "1000",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(time.time()) + 5),
        }
        return {
            "reset": Limit(self.error(429, "rate_limit_exceeded", words, headers), 2, most=10),
            "bare": Limit(self.error(429, "rate_limit_exceeded", words), 0.5, most=15),
        }

    def refusal(self):
        words = "Cannot reply to a conversation with a deleted contact"
        return self.error(422, "parameter_invalid", words), "deleted contact"

    def broken(self):
        return self.error(500, "server_error", "Internal server error")

    def unauthorised(self):
        return self.error(401, "unauthorized", "Access Token Invalid")

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"Bearer {self.token}", self.unauthorised(), f"Authorization {given}")
        version = call.headers.get("intercom-version", "")
        self.require(
            re.fullmatch(r"2\.\d+", version), self.error(400, "intercom_version_invalid", "version"), version
        )
        self.require(
            call.headers.get("accept") == "application/json",
            self.error(406, "media_type_not_acceptable", "Accept"),
            "",
        )
        if (call.method, call.path) == ("GET", "/me"):
            return 200, self.admin() | {"app": {"type": "app", "id_code": "a86dr8yl"}, "email_verified": True}
        path = f"/conversations/{CONVERSATION}/reply"
        self.require(
            (call.method, call.path) == ("POST", path), self.error(404, "not_found", "none"), call.path
        )
        body = self.checked(call, REPLY, lambda words: self.error(400, "parameter_invalid", str(words)))
        self.require(body["admin_id"] == ADMIN, self.error(404, "admin_not_found", "Admin not found"), body)
        self.require(
            body.get("body") or body.get("attachment_urls"),
            self.error(400, "parameter_not_found", "body"),
            "empty",
        )
        self.require(body["message_type"] == "comment", self.error(400, "parameter_invalid", "note"), body)
        text = self.plain(body.get("body", ""))
        files = [(None, url) for url in body.get("attachment_urls", [])]

        def make(number):
            made = Made(str(7000 + number), CONVERSATION, text, None, files)
            parts = [self.part("p1", {"type": "user", "id": "5310"}, "<p>hello</p>")]
            parts.append(self.part(made.id, self.admin(), body.get("body")))
            return made, (
                200,
                {
                    "type": "conversation",
                    "id": CONVERSATION,
                    "created_at": 1,
                    "updated_at": 1,
                    "open": True,
                    "state": "open",
                    "read": True,
                    "contacts": {"type": "contact.list", "contacts": []},
                    "conversation_parts": {
                        "type": "conversation_part.list",
                        "conversation_parts": parts,
                        "total_count": len(parts),
                    },
                },
            )

        return self.create(call, make)

    @staticmethod
    def plain(markup):
        """What a person sees of it."""
        text = re.sub(r"<br\s*/?>", "\n", re.sub(r"</p>\s*<p>", "\n", markup))
        return html.unescape(re.sub(r"</?p>", "", text))
