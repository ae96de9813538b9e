"""Mastodon's API: https://docs.joinmastodon.org/methods/statuses/ and .../media/."""

import hashlib
import hmac
import re
import secrets
import time
from datetime import datetime, timedelta, timezone

import mastodon as library

from contracts.base import ANY, BOOLEAN, Contract, Limit, Made, array, compact, obj, one_of, parts_of, string

PERSON = "9"
ACCT = "ana@example.social"
INBOUND = "110868405221312345"
STATUS = obj(
    status=string(),
    media_ids=array(string(), 4),
    poll=ANY,
    in_reply_to_id=string(),
    sensitive=BOOLEAN,
    spoiler_text=string(least=0),
    visibility=one_of("public", "unlisted", "private", "direct"),
    language=string(),
    scheduled_at=string(),
    quoted_status_id=string(),
    quote_approval_policy=string(),
)
EDIT = obj(
    status=string(),
    spoiler_text=string(least=0),
    sensitive=BOOLEAN,
    language={"type": ["string", "null"]},
    media_ids=array(string(), 4),
    media_attributes=ANY,
    poll=ANY,
)


def stamp(seconds=0):
    moment = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Mastodon(Contract):
    platform = "mastodon"
    does_once = True
    files = "upload"
    has_albums = True
    has_steps = True
    has_second_step = True
    has_reply_steps = True
    place = PERSON
    inbound_id = INBOUND
    emoji = "⭐"

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.token = secrets.token_urlsafe(32)
        self.uploads = {}
        self.asked = {}

    def webhook_credentials(self):
        return {"webhookSecret": self.secret}

    def sending_credentials(self):
        return {"accessToken": self.token, "server": self.url}

    def as_written(self, text):
        """Who is to see a direct status is mentioned in it."""
        return f"@{ACCT} {text}"

    def account(self):
        return {
            "id": PERSON,
            "username": "ana",
            "acct": ACCT,
            "display_name": "Ana",
            "locked": False,
            "bot": False,
            "url": "https://example.social/@ana",
            "avatar": "https://example.social/a.png",
            "note": "",
            "followers_count": 0,
            "following_count": 0,
            "statuses_count": 1,
            "created_at": stamp(),
            "emojis": [],
            "fields": [],
        }

    def inbound(self, account):
        status = {
            "id": INBOUND,
            "created_at": stamp(),
            "content": "<p>hello</p>",
            "visibility": "direct",
            "edited_at": None,
            "account": self.account(),
            "media_attachments": [],
            "in_reply_to_id": None,
        }
        body = compact({"event": "status.created", "created_at": stamp(), "object": status})
        digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Hub-Signature": f"sha256={digest}"}, body

    def limits(self):
        """https://docs.joinmastodon.org/api/rate-limits/: when it is over, as a date."""
        headers = {"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": stamp(5)}
        return {
            "reset": Limit((429, {"error": "Too many requests"}, headers), 2, most=10),
            "bare": Limit((429, {"error": "Too many requests"}), 0.5, most=15),
        }

    def refusal(self):
        words = "Validation failed: Text character limit of 500 exceeded"
        return (422, {"error": words}), "character limit"

    def broken(self):
        return 500, {"error": "An internal error occurred"}

    def unauthorised(self):
        return 401, {"error": "The access token was revoked"}

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"Bearer {self.token}", (401, {"error": "The access token is invalid"}), given)
        parts = call.path.removeprefix("/api/").split("/")
        what = (call.method, *parts)
        if what == ("GET", "v1", "accounts", PERSON):
            return 200, self.account()
        if what == ("POST", "v2", "media"):
            return self.media(call)
        if what[:3] == ("GET", "v1", "media"):
            return self.media_state(parts[2])
        if what == ("POST", "v1", "statuses"):
            return self.status(call)
        missing = (404, {"error": "Record not found"})
        self.require(
            parts[:2] == ["v1", "statuses"] and len(parts) >= 3, missing, f"{call.method} {call.path}"
        )
        return self.one(call, parts[2], parts[3:])

    def document(self, identifier, text, reply=None, media=(), **more):
        return {
            "id": identifier,
            "created_at": stamp(),
            "edited_at": None,
            "in_reply_to_id": reply,
            "visibility": "direct",
            "content": f"<p>{text}</p>",
            "account": self.account() | {"id": "1", "acct": "hub", "username": "hub"},
            "media_attachments": [{"id": one, "type": "image", "url": "https://m/1"} for one in media],
            "mentions": [
                {"id": PERSON, "username": "ana", "acct": ACCT, "url": "https://example.social/@ana"}
            ],
            "sensitive": False,
            "spoiler_text": "",
            "language": None,
            "uri": "https://m/1",
            "url": "https://m/1",
            "replies_count": 0,
            "reblogs_count": 0,
            "favourites_count": 0,
            "tags": [],
            "emojis": [],
            "card": None,
            "poll": None,
            "reblog": None,
            "in_reply_to_account_id": None,
            "application": None,
        } | more

    def one(self, call, identifier, rest):
        made = next((made for made in self.made if made.id == identifier), None)
        self.require(made or identifier == INBOUND, (404, {"error": "Record not found"}), identifier)
        if call.method == "GET" and not rest:
            self.step(call)
            return 200, self.document(
                identifier, made.text if made else "hello", **({} if made else {"account": self.account()})
            )
        if call.method == "POST" and rest in (["favourite"], ["unfavourite"]):
            self.reactions.append((identifier, "⭐", rest == ["favourite"]))
            return 200, self.document(identifier, "hello", favourited=rest == ["favourite"])
        self.require(made is not None and not rest, (404, {"error": "Record not found"}), identifier)
        if call.method == "DELETE":
            self.deleted.append(identifier)
            return 200, self.document(identifier, made.text) | {"text": made.text}
        self.require(call.method == "PUT", (404, {"error": "Not found"}), call.method)
        body = self.checked(call, EDIT, lambda words: (422, {"error": f"Validation failed: {words}"}))
        self.edits.append((identifier, body["status"]))
        return 200, self.document(identifier, body["status"], edited_at=stamp())

    def media(self, call):
        parts = parts_of(call)
        known = {"file", "thumbnail", "description", "focus"}
        self.require(set(parts) <= known, (422, {"error": "form"}), sorted(parts))
        self.step(call)
        identifier = str(500 + len(self.uploads))
        [file] = parts["file"]
        self.uploads[identifier] = (file.filename, file.content)
        # Large files are worked on after the answer.
        return 202, {"id": identifier, "type": "image", "url": None, "preview_url": "https://m/p", "meta": {}}

    def media_state(self, identifier):
        self.require(identifier in self.uploads, (404, {"error": "Record not found"}), identifier)
        self.step(None)
        self.asked[identifier] = self.asked.get(identifier, 0) + 1
        is_ready = self.asked[identifier] > 1
        body = {"id": identifier, "type": "image", "url": "https://m/1" if is_ready else None}
        return (200 if is_ready else 206), body

    def read(self, call):
        """JSON, or a form in which lists are called `name[]`."""
        if call.headers["content-type"].startswith("application/json"):
            return self.checked(call, STATUS, lambda words: (422, {"error": f"Validation failed: {words}"}))
        return call.form

    def status(self, call):
        body = self.read(call)
        text = body.get("status", "")
        media = body.get("media_ids", [])
        self.require(
            text or media or body.get("poll"), (422, {"error": "Validation failed: Text can't be blank"}), ""
        )
        # A mention counts as its name without the server.
        size = len(re.sub(r"@(\w+)@[\w.]+", r"@\1", text))
        too_long = (422, {"error": "Validation failed: Text character limit of 500 exceeded"})
        self.require(size <= 500, too_long, f"{size} characters")
        for one in media:
            is_ready = self.asked.get(one, 0) > 1
            words = "Cannot attach files that have not finished processing. Try again in a moment!"
            self.require(one in self.uploads and is_ready, (422, {"error": words}), one)
        reply = body.get("in_reply_to_id")
        self.require(
            reply in (None, INBOUND), (404, {"error": "The status you are replying to is gone"}), reply
        )
        self.visibility = body.get("visibility")
        key = call.headers.get("idempotency-key")

        def make(number):
            identifier = str(110_868_500_000_000_000 + number)
            made = Made(identifier, PERSON, text, reply, [self.uploads[one] for one in media])
            return made, (200, self.document(identifier, text, reply, media))

        return self.create(call, make, key, lambda before: before[1])

    def judge(self):
        """Nobody but the person sees an answer to what was said in private. The answers are Mastodon.py's."""
        assert getattr(self, "visibility", "direct") == "direct"
        assert library.return_types.Status(**self.document("1", "x")).id

    def client(self):
        client = library.Mastodon(access_token=self.token, api_base_url=self.url)
        return client.status_post(f"@{ACCT} by Mastodon.py", visibility="direct", idempotency_key="judge").id
