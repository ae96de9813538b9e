"""Zulip's event queues, which a server throws away, and its lists of messages around an anchor."""

import base64
import json
import secrets
import time

import feeds

ME, ADA = 10, 11
TYPES = {"message", "update_message", "delete_message", "reaction", "typing", "heartbeat"}


class Feed(feeds.Feed):
    patience = 120
    platform = "zulip"
    sample = "stream"
    finds = frozenset({"edit", "delete", "react"})
    seconds_only = True

    def __init__(self):
        super().__init__()
        self.messages = []
        self.queues = {}
        self.last = 1_000

    def credentials(self):
        server = {"server": self.server.url, "token": f"hook-{self.number}"}
        return server | {"apiKey": self.token, "email": "hub-bot@zulip.example"}

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.last += 1
            people = [
                {"id": ME, "email": "hub", "full_name": "Hub"},
                {"id": ADA, "email": "ada", "full_name": "Ada"},
            ]
            message = {
                "id": self.last,
                "sender_id": ME if own else ADA,
                "sender_full_name": "Hub" if own else "Ada",
                "sender_email": "hub" if own else "ada",
                "content": text,
                "timestamp": int(at or time.time()),
                "client": "website",
                "content_type": "text/x-markdown",
                "reactions": [],
                "is_me_message": False,
                "avatar_url": None,
                "recipient_id": 7,
                "submessages": [],
                "topic_links": [],
            }
            if place:
                message |= {"type": "private", "display_recipient": people, "subject": ""}
            else:
                message |= {
                    "type": "stream",
                    "stream_id": 4,
                    "display_recipient": "general",
                    "subject": "greetings",
                }
            self.messages.append(message)
            self.tell({"type": "message", "message": dict(message), "flags": []})
            return message

    def tell(self, event):
        with self.lock:
            for queue in self.queues.values():
                if event["type"] in queue["types"]:
                    queue["last"] += 1
                    queue["events"].append(event | {"id": queue["last"]})
            self.lock.notify_all()

    def place(self, message):
        return {"stream_id": 4} if message["type"] == "stream" else {}

    def edit(self, message, text):
        at = int(time.time())
        event = {
            "type": "update_message",
            "user_id": ADA,
            "rendering_only": False,
            "message_id": message["id"],
        }
        event |= {
            "message_ids": [message["id"]],
            "flags": [],
            "edit_timestamp": at,
            "orig_content": message["content"],
        }
        message |= {"content": text, "last_edit_timestamp": at}
        self.tell(event | {"content": text, "is_me_message": False} | self.place(message))

    def delete(self, message):
        with self.lock:
            self.messages.remove(message)
        event = {"type": "delete_message", "message_id": message["id"], "message_type": message["type"]}
        topic = {"topic": "greetings"} if message["type"] == "stream" else {}
        self.tell(event | self.place(message) | topic)

    def react(self, message):
        reaction = {
            "emoji_name": "+1",
            "emoji_code": "1f44d",
            "reaction_type": "unicode_emoji",
            "user_id": ADA,
        }
        message["reactions"] = [reaction]
        user = {"user_id": ADA, "email": "ada", "full_name": "Ada"}
        self.tell({"type": "reaction", "op": "add", "message_id": message["id"], "user": user} | reaction)

    def webhook(self, message):
        return {
            "bot_email": "hub-bot@zulip.example",
            "bot_full_name": "Hub",
            "data": message["content"],
            "trigger": "mention",
            "token": f"hook-{self.number}",
            "message": message | {"rendered_content": f"<p>{message['content']}</p>"},
        }

    def error(self, status, code, words, **more):
        return feeds.Refused(status, {"result": "error", "msg": words, "code": code} | more)

    def authorise(self, call):
        pair = base64.b64encode(f"hub-bot@zulip.example:{self.token}".encode()).decode()
        if self.revoked or call.headers.get("authorization") != f"Basic {pair}":
            raise self.error(401, "INVALID_API_KEY", "Invalid API key")

    def route(self, call):
        path = call.path.removeprefix("/api/v1/").split("/")
        match (call.method, *path):
            case ("GET", "server_settings"):
                versions = {"zulip_version": "11.0", "zulip_feature_level": 300}
                return 200, {"result": "success", "msg": ""} | versions
            case ("GET", "users", "me"):
                return 200, {
                    "result": "success",
                    "msg": "",
                    "user_id": ME,
                    "full_name": "Hub",
                    "is_bot": True,
                }
            case ("POST", "register"):
                return self.register(call)
            case ("GET", "events"):
                return self.events(call)
            case ("GET", "messages"):
                return self.list(call)
            case ("GET", "messages", number):
                self.check(call, call.query, (), ("apply_markdown", "allow_empty_topic_name"))
                found = next((one for one in self.messages if one["id"] == int(number)), None)
                if found is None:
                    raise self.error(400, "BAD_REQUEST", "Invalid message(s)")
                return 200, {
                    "result": "success",
                    "msg": "",
                    "message": found,
                    "raw_content": found["content"],
                }
        self.unknown(call)

    def register(self, call):
        optional = (
            "event_types",
            "fetch_event_types",
            "apply_markdown",
            "client_gravatar",
            "client_capabilities",
        )
        given = self.check(
            call, call.form, (), optional + ("all_public_streams", "include_subscribers", "narrow")
        )
        types = json.loads(given.get("event_types", "[]"))
        self.wants(call, set(types) <= TYPES, f"unknown events {types}")
        name = f"{secrets.token_hex(4)}:{len(self.queues)}"
        self.queues[name] = {"types": set(types), "events": [], "last": -1}
        answer = {
            "result": "success",
            "msg": "",
            "queue_id": name,
            "last_event_id": -1,
            "zulip_feature_level": 300,
        }
        return 200, answer | {
            "max_message_id": self.last if self.messages else -1,
            "event_queue_longpoll_timeout_seconds": 90,
        }

    def events(self, call):
        given = self.check(call, call.query, ("queue_id",), ("last_event_id", "dont_block"))
        queue = self.queues.get(given["queue_id"])
        if queue is None:
            words = f"Bad event queue ID: {given['queue_id']}"
            raise self.error(400, "BAD_EVENT_QUEUE_ID", words, queue_id=given["queue_id"])
        last = int(given.get("last_event_id", -1))
        queue["events"] = [event for event in queue["events"] if event["id"] > last]
        deadline = time.monotonic() + (0 if given.get("dont_block") == "true" else 1.0)
        while (
            not queue["events"]
            and not self.refusals
            and not self.revoked
            and given["queue_id"] in self.queues
        ):
            if not self.lock.wait(max(0, deadline - time.monotonic())):
                break
        found = list(queue["events"])
        if not found and given.get("dont_block") != "true":
            queue["last"] += 1
            found = [{"type": "heartbeat", "id": queue["last"]}]
        return 200, {"result": "success", "msg": "", "queue_id": given["queue_id"], "events": found}

    def list(self, call):
        optional = ("narrow", "client_gravatar", "apply_markdown", "include_anchor", "allow_empty_topic_name")
        given = self.check(call, call.query, ("anchor", "num_before", "num_after"), optional)
        before = self.whole(call, given, "num_before", 0, 0, 5_000)
        after = self.whole(call, given, "num_after", 0, 0, 5_000)
        self.wants(call, before + after <= 5_000, "too many messages requested")
        anchor = {"newest": 1 << 60, "oldest": 0}.get(given["anchor"])
        anchor = int(given["anchor"]) if anchor is None else anchor
        older = [one for one in self.messages if one["id"] < anchor]
        at = [one for one in self.messages if one["id"] == anchor]
        newer = [one for one in self.messages if one["id"] > anchor]
        part = (older[-before:] if before else []) + at + newer[:after]
        flags = {
            "found_oldest": before >= len(older),
            "found_newest": after >= len(newer),
            "found_anchor": bool(at),
        }
        answer = {
            "result": "success",
            "msg": "",
            "messages": [m | {"flags": []} for m in part],
            "anchor": anchor,
        }
        return 200, answer | flags | {"history_limited": False}

    def limits(self):
        body = {
            "result": "error",
            "msg": "API usage exceeded rate limit",
            "retry-after": 2.4,
            "code": "RATE_LIMIT_HIT",
        }
        old = {"result": "error", "msg": "API usage exceeded rate limit", "code": "RATE_LIMIT_HIT"}
        headers = {
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Limit": "200",
            "X-RateLimit-Reset": str(time.time() + 2.4),
        }
        return [
            ("retry-after in JSON", 2.4, (429, body, headers | {"Retry-After": "2.4"})),
            ("Retry-After", 2, (429, old, {"Retry-After": "2"})),
        ]

    def spent(self):
        end = str(time.time() + 2.5)
        return 2.5, {"X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "200", "X-RateLimit-Reset": end}

    def expire(self):
        """The server throws the queue away, as it does after ten minutes of silence and at its upgrades."""
        with self.lock:
            self.queues.clear()
            self.lock.notify_all()
        return True
