"""Intercom's search for conversations that changed, page by page, and each conversation with its parts."""

import base64
import time

import feeds

VERSIONS = {"2.9", "2.10", "2.11", "2.12", "2.13", "2.14"}


class Feed(feeds.Feed):
    is_swept = True
    platform = "intercom"
    sample = "replied"
    finds = frozenset({"delete"})
    places = 50
    before = 120
    burst = 120
    seconds_only = True

    def __init__(self):
        super().__init__()
        self.conversations = {}
        self.count = 0
        self.epoch = 0

    def credentials(self):
        return {
            "clientSecret": f"client-secret-{self.number}",
            "accessToken": self.token,
            "apiURL": self.server.url,
        }

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            at = int(at if at is not None else time.time())
            user = {
                "type": "user",
                "id": f"u{place}",
                "name": f"Person {place}",
                "email": f"p{place}@example.com",
            }
            author = (
                {"type": "admin", "id": "991", "name": "Agent", "email": "agent@example.com"} if own else user
            )
            said = {
                "id": str(self.number * 1_000_000 + self.count),
                "body": f"<p>{text}</p>",
                "author": author,
            }
            said |= {"attachments": [], "redacted": False}
            conversation = self.conversations.get(place)
            if conversation is None:
                source = {
                    "type": "conversation",
                    "delivered_as": "customer_initiated",
                    "subject": "",
                    "url": None,
                }
                self.conversations[place] = {
                    "type": "conversation",
                    "id": str(5_000 + place),
                    "created_at": at,
                    "updated_at": at,
                    "title": None,
                    "state": "open",
                    "open": True,
                    "read": False,
                    "source": source | said,
                    "contacts": {
                        "type": "contact.list",
                        "contacts": [{"type": "contact", "id": f"u{place}"}],
                    },
                    "parts": [],
                }
                return said
            part = {
                "type": "conversation_part",
                "part_type": "comment",
                "created_at": at,
                "updated_at": at,
                "notified_at": at,
            }
            part |= said
            conversation["parts"].append(part)
            conversation["updated_at"] = max(conversation["updated_at"], at)
            return part

    def delete(self, message):
        """A part that was redacted stays, without its words."""
        message |= {"redacted": True, "body": "<p><i>This message was deleted</i></p>"}
        for conversation in self.conversations.values():
            if message in conversation["parts"] or conversation["source"].get("id") == message["id"]:
                conversation["updated_at"] = int(time.time())

    def whole_conversation(self, conversation):
        parts = {"type": "conversation_part.list", "conversation_parts": conversation["parts"][-500:]}
        parts["total_count"] = len(conversation["parts"])
        return {key: value for key, value in conversation.items() if key != "parts"} | {
            "conversation_parts": parts
        }

    def webhook(self, message):
        conversation = next(
            one
            for one in self.conversations.values()
            if message in one["parts"] or one["source"]["id"] == message["id"]
        )
        item = self.whole_conversation(conversation)
        item["conversation_parts"] = item["conversation_parts"] | {
            "conversation_parts": [message] if message in conversation["parts"] else []
        }
        return {
            "type": "notification_event",
            "app_id": "app1",
            "id": f"notif_{message['id']}",
            "topic": "conversation.user.replied",
            "created_at": int(time.time()),
            "delivery_attempts": 1,
            "data": {"type": "notification_event_data", "item": item},
        }

    def error(self, status, code, words):
        errors = [{"code": code, "message": words}]
        return feeds.Refused(status, {"type": "error.list", "request_id": "r1", "errors": errors})

    def authorise(self, call):
        if self.revoked:
            raise self.error(401, "token_revoked", "The authorisation token has been revoked")
        if call.headers.get("authorization") != f"Bearer {self.token}":
            raise self.error(401, "unauthorized", "Access Token Invalid")

    def route(self, call):
        self.wants(call, call.headers.get("intercom-version") in VERSIONS, "no Intercom-Version")
        self.wants(call, "application/json" in call.headers.get("accept", ""), "only JSON is answered")
        match (call.method, *call.path.strip("/").split("/")):
            case ("GET", "me"):
                self.check(call, call.query)
                return 200, {"type": "admin", "id": "991", "app": {"type": "app", "id_code": "app1"}}
            case ("POST", "conversations", "search"):
                return self.search(call)
            case ("GET", "conversations", name):
                self.check(call, call.query, (), ("display_as", "include_translations"))
                found = next((one for one in self.conversations.values() if one["id"] == name), None)
                if found is None:
                    raise self.error(404, "not_found", "Resource Not Found")
                return 200, self.whole_conversation(found)
        self.unknown(call)

    def search(self, call):
        given = self.check(call, call.json, ("query",), ("pagination", "sort"))
        query = self.check(call, given["query"], ("field", "operator", "value"))
        self.wants(
            call, (query["field"], query["operator"]) == ("updated_at", ">"), "another search is not served"
        )
        self.wants(call, isinstance(query["value"], int), "times are numbers")
        pagination = self.check(call, given.get("pagination", {}), (), ("per_page", "starting_after"))
        size = self.whole(call, pagination, "per_page", 20, 1, 150)
        found = [one for one in self.conversations.values() if one["updated_at"] > query["value"]]
        sort = given.get("sort", {"field": "updated_at", "order": "descending"})
        found.sort(key=lambda one: (one[sort["field"]], one["id"]), reverse=sort["order"] == "descending")
        start = 0
        if pagination.get("starting_after"):
            epoch, start = base64.b64decode(pagination["starting_after"]).decode().split(":")
            if int(epoch) != self.epoch:
                raise self.error(400, "client_error", "The starting_after cursor is not valid")
            start = int(start)
        part = [
            {key: value for key, value in one.items() if key != "parts"}
            for one in found[start : start + size]
        ]
        pages = {"type": "pages", "page": 1, "per_page": size, "total_pages": -(-len(found) // size)}
        if start + size < len(found):
            cursor = base64.b64encode(f"{self.epoch}:{start + size}".encode()).decode()
            pages["next"] = {"page": 2, "starting_after": cursor}
        return 200, {
            "type": "conversation.list",
            "total_count": len(found),
            "pages": pages,
            "conversations": part,
        }

    def limits(self):
        end = int(time.time()) + 3
        headers = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(end)}
        errors = [{"code": "rate_limit_exceeded", "message": "The rate limit for the App has been exceeded"}]
        body = {"type": "error.list", "request_id": "r1", "errors": errors}
        return [("X-RateLimit-Reset", end - time.time(), (429, body, headers))]

    def expire(self):
        with self.lock:
            self.epoch += 1
        return True
