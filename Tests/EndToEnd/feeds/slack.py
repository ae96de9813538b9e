"""Slack's Web API: users.conversations, conversations.history and .replies, by cursors; events beside."""

import base64
import secrets
import time

import feeds

BOT, PERSON = "UBOT", "UADA"


class Feed(feeds.Feed):
    is_swept = True
    platform = "slack"
    sample = "channel_text"
    finds = frozenset({"edit", "delete", "react"})
    has_refresh = True
    before = 450
    burst = 450

    def __init__(self):
        super().__init__()
        self.team = "T" + secrets.token_hex(4).upper()
        self.channels = ["C1", "C2"]
        self.messages = {"C1": [], "C2": []}
        self.last = 0
        self.epoch = 0
        self.refresh = f"xoxe-1-{self.token}"
        self.first_refresh = self.refresh
        self.rotates = False

    def credentials(self):
        shared = {
            "signingSecret": f"{self.number:032x}",
            "teamId": self.team,
            "apiURL": f"{self.server.url}/api",
        }
        if self.rotates:
            return shared | {"refreshToken": self.refresh, "clientId": "1.2", "clientSecret": "cs"}
        return shared | {"botToken": self.token}

    def stamp(self, at=None):
        """The time of a message is its id: microseconds that no two share."""
        micro = int((at if at is not None else time.time()) * 1_000_000)
        self.last = micro = max(self.last + 1, micro)
        return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            stamp = self.stamp(at)
            message = {
                "type": "message",
                "user": BOT if own else PERSON,
                "text": text,
                "ts": stamp,
                "team": self.team,
            }
            if own:
                message |= {"bot_id": "B1", "app_id": "A1"}
            self.messages[self.channels[place]].append(message)
            return message

    def edit(self, message, text):
        message |= {"text": text, "edited": {"user": PERSON, "ts": f"{int(time.time())}.000000"}}

    def react(self, message):
        message["reactions"] = [{"name": "thumbsup", "users": [PERSON], "count": 1}]

    def delete(self, message):
        for messages in self.messages.values():
            messages[:] = [one for one in messages if one is not message]

    def answer_to(self, message, text):
        """A reply in a message's thread: it is no message of the channel."""
        with self.lock:
            stamp = self.stamp()
            reply = {"type": "message", "user": PERSON, "text": text, "ts": stamp, "thread_ts": message["ts"]}
            message.setdefault("replies_", []).append(reply)
            message |= {
                "thread_ts": message["ts"],
                "latest_reply": stamp,
                "reply_count": len(message["replies_"]),
            }
            return reply

    def webhook(self, message):
        channel = next(name for name, messages in self.messages.items() if message in messages)
        return {
            "type": "event_callback",
            "team_id": self.team,
            "api_app_id": "A1",
            "event_id": f"Ev{message['ts']}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": self.team, "user_id": BOT, "is_bot": True}],
            "event": message | {"channel": channel, "channel_type": "channel", "event_ts": message["ts"]},
        }

    def authorise(self, call):
        if call.path == "/api/oauth.v2.access":
            return
        if self.revoked:
            raise feeds.Refused(200, {"ok": False, "error": "token_revoked"})
        if call.headers.get("authorization") != f"Bearer {self.token}":
            raise feeds.Refused(
                200, {"ok": False, "error": "token_expired" if self.rotates else "invalid_auth"}
            )

    def route(self, call):
        method = call.path.removeprefix("/api/")
        given = call.query if call.method == "GET" else call.form
        if method == "oauth.v2.access":
            return self.renew(call, given)
        if method == "auth.test":
            self.check(call, given)
            return 200, {
                "ok": True,
                "team_id": self.team,
                "user_id": BOT,
                "bot_id": "B1",
                "url": "https://t.slack.com/",
            }
        if method == "users.conversations":
            optional = ("types", "exclude_archived", "limit", "cursor", "team_id", "user")
            self.check(call, given, (), optional)
            self.whole(call, given, "limit", 100, 1, 999)
            channels = [
                {
                    "id": name,
                    "name": name.lower(),
                    "is_channel": True,
                    "is_member": True,
                    "is_im": False,
                    "created": 1,
                }
                for name in self.channels
            ]
            return 200, self.part(call, given, channels, "channels", 1)
        if method == "conversations.history":
            optional = ("oldest", "latest", "inclusive", "limit", "cursor", "include_all_metadata")
            self.check(call, given, ("channel",), optional)
            if given["channel"] not in self.messages:
                raise feeds.Refused(200, {"ok": False, "error": "channel_not_found"})
            return 200, self.list(call, given, self.messages[given["channel"]], reverse=True)
        if method == "conversations.replies":
            optional = ("oldest", "latest", "inclusive", "limit", "cursor", "include_all_metadata")
            self.check(call, given, ("channel", "ts"), optional)
            root = next((m for m in self.messages[given["channel"]] if m["ts"] == given["ts"]), None)
            if root is None:
                raise feeds.Refused(200, {"ok": False, "error": "thread_not_found"})
            # The root comes with every page's list, whatever is asked for.
            return 200, self.list(call, given, root.get("replies_", []), reverse=False, root=root)
        self.unknown(call)

    def list(self, call, given, messages, reverse, root=None):
        oldest, latest = float(given.get("oldest", 0)), float(given.get("latest", 1e12))
        is_inclusive = given.get("inclusive") in ("1", "true")
        found = [
            {key: value for key, value in one.items() if key != "replies_"}
            for one in messages
            if oldest < float(one["ts"]) < latest or (is_inclusive and float(one["ts"]) in (oldest, latest))
        ]
        found.sort(key=lambda one: one["ts"], reverse=reverse)
        if root is not None:
            found.insert(0, {key: value for key, value in root.items() if key != "replies_"})
        limit = self.whole(call, given, "limit", 100, 1, 999)
        return self.part(call, given, found, "messages", limit) | {"pin_count": 0}

    def part(self, call, given, items, name, limit):
        start = 0
        if given.get("cursor"):
            try:
                epoch, start = base64.b64decode(given["cursor"]).decode().removeprefix("next:").split(":")
            except ValueError:
                self.violate(call, "no cursor of this server's")
            if int(epoch) != self.epoch:
                raise feeds.Refused(200, {"ok": False, "error": "invalid_cursor"})
            start = int(start)
        limit = min(limit, 200)
        more = start + limit < len(items)
        following = base64.b64encode(f"next:{self.epoch}:{start + limit}".encode()).decode() if more else ""
        return {
            "ok": True,
            name: items[start : start + limit],
            "has_more": more,
            "response_metadata": {"next_cursor": following},
        }

    def renew(self, call, given):
        required = ("client_id", "client_secret", "grant_type", "refresh_token")
        self.check(call, given, required)
        if given["refresh_token"] != self.refresh:
            self.violations.append("a refresh token was used twice")
            raise feeds.Refused(200, {"ok": False, "error": "invalid_refresh_token"})
        self.token = f"xoxe.xoxb-{secrets.token_hex(8)}"
        self.refresh = f"xoxe-1-{secrets.token_hex(8)}"
        answer = {"ok": True, "access_token": self.token, "refresh_token": self.refresh, "expires_in": 43_200}
        return 200, answer | {
            "token_type": "bot",
            "bot_user_id": BOT,
            "team": {"id": self.team, "name": "Team"},
        }

    def limits(self):
        body = {"ok": False, "error": "ratelimited"}
        return [
            ("429 with Retry-After", 2, (429, body, {"Retry-After": "2"})),
            ("200 with Retry-After", 2, (200, body, {"Retry-After": "2"})),
            ("429 without JSON", 2, (429, b"", {"Retry-After": "2"})),
        ]

    def expire(self):
        with self.lock:
            self.epoch += 1
        return True

    def expire_token(self):
        with self.lock:
            self.token = "another"
