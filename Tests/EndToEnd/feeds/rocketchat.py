"""Rocket.Chat's REST API: rooms.get, chat.syncMessages (all changes since a time), histories of rooms."""

import secrets
import time
from datetime import datetime, timezone

import feeds

ME, ADA = "me0000000000hub", "ada000000000001"


def moment(at):
    return (
        datetime.fromtimestamp(round(at, 3), timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Feed(feeds.Feed):
    platform = "rocketchat"
    finds = frozenset({"edit", "delete", "react"})

    def __init__(self):
        super().__init__()
        self.rooms = {"GENERAL": ("c", "general"), "dm-me-ada": ("d", None)}
        self.messages = {room: [] for room in self.rooms}
        self.deleted = {room: [] for room in self.rooms}
        self.last = 0

    def credentials(self):
        return {
            "accessToken": self.token,
            "userId": ME,
            "server": self.server.url,
            "token": f"hook-{self.number}",
        }

    def stamp(self):
        self.last = max(self.last + 0.001, time.time())
        return self.last

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            at = at if at is not None else self.stamp()
            room = list(self.rooms)[place]
            user = {"_id": ME, "username": "hub"} if own else {"_id": ADA, "username": "ada", "name": "Ada"}
            message = {
                "_id": secrets.token_hex(9)[:17],
                "rid": room,
                "msg": text,
                "ts": moment(at),
                "u": user,
            }
            message |= {"_updatedAt": moment(at), "urls": [], "mentions": [], "channels": [], "md": []}
            self.messages[room].append(message)
            return message

    def edit(self, message, text):
        at = moment(self.stamp())
        message |= {
            "msg": text,
            "editedAt": at,
            "editedBy": {"_id": ADA, "username": "ada"},
            "_updatedAt": at,
        }

    def delete(self, message):
        with self.lock:
            self.messages[message["rid"]].remove(message)
            self.deleted[message["rid"]].append({"_id": message["_id"], "_deletedAt": moment(self.stamp())})

    def react(self, message):
        message |= {"reactions": {":thumbsup:": {"usernames": ["ada"]}}, "_updatedAt": moment(self.stamp())}

    def webhook(self, message):
        return {
            "token": f"hook-{self.number}",
            "bot": False,
            "channel_id": message["rid"],
            "channel_name": "general",
            "message_id": message["_id"],
            "timestamp": message["ts"],
            "user_id": message["u"]["_id"],
            "user_name": message["u"]["username"],
            "text": message["msg"],
            "siteUrl": "http://localhost",
        }

    def authorise(self, call):
        if self.revoked or (call.headers.get("x-auth-token"), call.headers.get("x-user-id")) != (
            self.token,
            ME,
        ):
            raise feeds.Refused(401, {"status": "error", "message": "You must be logged in to do this."})

    def route(self, call):
        self.wants(call, call.method == "GET", "only reading is expected")
        method = call.path.removeprefix("/api/v1/")
        if method == "me":
            self.check(call, call.query)
            return 200, {"_id": ME, "username": "hub", "name": "Hub", "success": True}
        if method == "rooms.get":
            self.check(call, call.query, (), ("updatedSince",))
            return 200, {"update": [self.room(name) for name in self.rooms], "remove": [], "success": True}
        if method == "chat.syncMessages":
            given = self.check(call, call.query, ("roomId", "lastUpdate"))
            since = seconds(given["lastUpdate"])
            found = [one for one in self.messages[given["roomId"]] if seconds(one["_updatedAt"]) > since]
            found.sort(key=lambda one: one["ts"], reverse=True)
            deleted = [one for one in self.deleted[given["roomId"]] if seconds(one["_deletedAt"]) > since]
            return 200, {"result": {"updated": found, "deleted": deleted}, "success": True}
        kinds = {"channels.history": "c", "groups.history": "p", "im.history": "d"}
        if method in kinds:
            return self.history(call, kinds[method])
        self.unknown(call)

    def room(self, name):
        kind, title = self.rooms[name]
        times = [one["ts"] for one in self.messages[name]]
        room = {
            "_id": name,
            "t": kind,
            "usersCount": 2,
            "msgs": len(times),
            "_updatedAt": moment(time.time()),
        }
        if title:
            room |= {"name": title, "fname": title}
        else:
            room |= {"usernames": ["hub", "ada"], "uids": [ME, ADA]}
        return room | ({"lm": max(times)} if times else {})

    def history(self, call, kind):
        optional = ("latest", "oldest", "inclusive", "offset", "count", "unreads", "showThreadMessages")
        given = self.check(call, call.query, ("roomId",), optional)
        if self.rooms.get(given["roomId"], ("", ""))[0] != kind:
            words = 'The required "roomId" or "roomName" param provided does not match any channel'
            raise feeds.Refused(
                400,
                {
                    "success": False,
                    "error": f"{words} [error-room-not-found]",
                    "errorType": "error-room-not-found",
                },
            )
        count = min(self.whole(call, given, "count", 20, 0, 1_000), 100)
        latest = seconds(given["latest"]) if "latest" in given else time.time()
        oldest = seconds(given["oldest"]) if "oldest" in given else 0
        is_inclusive = given.get("inclusive") == "true"

        def wanted(message):
            at = seconds(message["ts"])
            return oldest <= at <= latest if is_inclusive else oldest < at < latest

        found = sorted(
            (one for one in self.messages[given["roomId"]] if wanted(one)),
            key=lambda one: one["ts"],
            reverse=True,
        )
        return 200, {"messages": found[:count], "success": True}

    def limits(self):
        end = int((time.time() + 2) * 1000)
        words = "Error, too many requests. Please slow down. "
        words += "You must wait {} seconds before trying this endpoint again."
        headers = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(end)}
        body = {"success": False, "error": words.format(2) + " [error-too-many-requests]"}
        old = body | {"errorType": "error-too-many-requests", "details": {"timeToReset": 2000, "seconds": 2}}
        return [("429 with reset", 1.99, (429, body, headers)), ("400 with its words", 2, (400, old))]
