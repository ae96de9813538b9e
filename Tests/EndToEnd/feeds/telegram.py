"""Telegram's getUpdates: updates are kept until an offset behind them is asked for; a webhook excludes it."""

import email
import json
import time

import feeds


class Feed(feeds.Feed):
    patience = 65
    platform = "telegram"
    # Edits come as updates; deletions are never told; reactions where the bot may see them.
    finds = frozenset({"edit", "react"})
    has_history = False
    has_webhook = True
    seconds_only = True

    def __init__(self):
        super().__init__()
        self.token = f"{self.number}:{self.token}"
        self.updates = []
        self.told = {}
        self.update_id = 700_000
        self.message_id = 0
        self.hook = None
        self.polling = 0

    def credentials(self):
        return {"botToken": self.token, "apiURL": self.server.url, "webhookSecret": f"secret-{self.number}"}

    def add(self, kind, content):
        with self.lock:
            self.update_id += 1
            update = {"update_id": self.update_id, kind: content}
            self.updates.append(update)
            self.told[content["message_id"]] = update
            self.lock.notify_all()

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.message_id += 1
            chat = 1001 + place
            person = {"id": chat, "is_bot": False, "first_name": "Ada"}
            message = {
                "message_id": self.message_id,
                "date": int(at or time.time()),
                "from": person,
                "chat": {"id": chat, "type": "private", "first_name": "Ada"},
                "text": text,
            }
            kind = "message"
            if own:
                # What the owner of a business account writes: the bot is told by a business message.
                message |= {
                    "from": {"id": 5, "is_bot": False, "first_name": "Owner"},
                    "business_connection_id": "b1",
                }
                message["sender_business_bot"] = {"id": 9, "is_bot": True, "first_name": "Bot"}
                kind = "business_message"
            self.add(kind, message)
            return message

    def edit(self, message, text):
        message |= {"text": text, "edit_date": int(time.time())}
        self.add("edited_message", dict(message))

    def react(self, message):
        self.add(
            "message_reaction",
            {
                "chat": message["chat"],
                "message_id": message["message_id"],
                "user": message["from"],
                "date": int(time.time()),
                "old_reaction": [],
                "new_reaction": [{"type": "emoji", "emoji": "👍"}],
            },
        )

    def webhook(self, message):
        return self.told[message["message_id"]]

    def authorise(self, call):
        if self.revoked or not call.path.startswith(f"/bot{self.token}/"):
            raise feeds.Refused(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})

    def parameters(self, call):
        """As JSON, or as a form of either kind, whose values that are no texts are JSON."""
        kind = call.headers.get("content-type", "")
        if kind.startswith("application/json"):
            return call.json
        if not kind.startswith("multipart/form-data"):
            return {name: json.loads(value) for name, value in call.form.items()}
        form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + call.body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
        return {name: json.loads(part.get_payload(decode=True)) for name, part in parts.items()}

    def route(self, call):
        method = call.path.rsplit("/", 1)[1]
        if method != "getUpdates":
            self.unknown(call)
        given = self.check(call, self.parameters(call), (), ("offset", "limit", "timeout", "allowed_updates"))
        limit = self.whole(call, given, "limit", 100, 1, 100)
        if self.hook:
            words = "Conflict: can't use getUpdates method while webhook is active; "
            words += "use deleteWebhook to delete the webhook first"
            raise feeds.Refused(409, {"ok": False, "error_code": 409, "description": words})
        offset = given.get("offset", 0)
        self.wants(call, offset >= 0, "a negative offset throws updates away")
        self.updates = [one for one in self.updates if one["update_id"] >= offset]
        deadline = time.monotonic() + min(given.get("timeout", 0), 1.0)
        self.polling += 1
        if self.polling > 1:
            self.violations.append("two polls at once")
        while not self.updates and not self.refusals and not self.revoked:
            if not self.lock.wait(max(0, deadline - time.monotonic())):
                break
        self.polling -= 1
        return 200, {"ok": True, "result": self.updates[:limit]}

    def limits(self):
        words = "Too Many Requests: retry after 2"
        parameters = {"retry_after": 2}
        body = {"ok": False, "error_code": 429, "description": words, "parameters": parameters}
        return [("parameters", 2, (429, body)), ("header", 2, (429, {"ok": False}, {"Retry-After": "2"}))]

    def expire(self):
        """Another poller takes over: this one's call ends with a conflict, and the next is fine again."""
        words = "Conflict: terminated by other getUpdates request; "
        words += "make sure that only one bot instance is running"
        self.refuse((409, {"ok": False, "error_code": 409, "description": words}))
        return True
