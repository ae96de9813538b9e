"""Discord's REST API v10: guilds, their channels and active threads, messages by snowflakes."""

import time
from datetime import datetime, timezone

import feeds

GUILD, BOT, PERSON = "2909267986263572999", "539000000000000001", "539000000000000002"
EPOCH = 1_420_070_400_000


def snowflake(at, number):
    return str(((int(at * 1000) - EPOCH) << 22) | (number & 0x3FFFFF))


def moment(at):
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds")


class Feed(feeds.Feed):
    platform = "discord"
    finds = frozenset({"edit", "delete"})
    has_webhook = False  # What its webhooks tell are interactions, not messages.

    def __init__(self):
        super().__init__()
        self.channels = ["290926798626357001", "290926798626357002"]
        self.messages = {channel: [] for channel in self.channels}
        self.count = 0

    def credentials(self):
        return {"botToken": self.token, "publicKey": "a" * 64, "apiURL": self.server.url + "/api/v10"}

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            at = at if at is not None else time.time()
            author = {"id": BOT if own else PERSON, "username": "bot" if own else "ada", "bot": own}
            channel = self.channels[place]
            message = {
                "id": snowflake(at, self.count),
                "channel_id": channel,
                "type": 0,
                "author": author | {"global_name": None, "discriminator": "0", "avatar": None},
                "content": text,
                "timestamp": moment(int(at * 1000) / 1000),
                "edited_timestamp": None,
                "tts": False,
                "mention_everyone": False,
                "mentions": [],
                "mention_roles": [],
                "attachments": [],
                "embeds": [],
                "pinned": False,
                "flags": 0,
            }
            self.messages[channel].append(message)
            return message

    def edit(self, message, text):
        message |= {"content": text, "edited_timestamp": moment(time.time())}

    def delete(self, message):
        self.messages[message["channel_id"]].remove(message)

    def authorise(self, call):
        if self.revoked or call.headers.get("authorization") != f"Bot {self.token}":
            raise feeds.Refused(401, {"message": "401: Unauthorized", "code": 0})

    def route(self, call):
        self.wants(call, call.method == "GET", "only reading is expected")
        self.wants(call, call.headers.get("user-agent", "").startswith("DiscordBot ("), "no valid User-Agent")
        path = call.path.removeprefix("/api/v10/").split("/")
        match path:
            case ["users", "@me"]:
                self.check(call, call.query)
                return 200, {"id": BOT, "username": "bot", "bot": True}
            case ["users", "@me", "guilds"]:
                given = self.check(call, call.query, (), ("limit", "after", "before", "with_counts"))
                self.whole(call, given, "limit", 200, 1, 200)
                guilds = [] if int(given.get("after", 0)) >= int(GUILD) else [{"id": GUILD, "name": "Team"}]
                return 200, guilds
            case ["users", "@me", "channels"]:
                self.check(call, call.query)
                return 200, []  # For bots it is always empty.
            case ["guilds", guild, "channels"] if guild == GUILD:
                self.check(call, call.query)
                return 200, [{"id": "1", "type": 4, "name": "group", "guild_id": GUILD}] + [
                    self.channel(c) for c in self.channels
                ]
            case ["guilds", guild, "threads", "active"] if guild == GUILD:
                self.check(call, call.query)
                return 200, {"threads": [], "members": []}
            case ["channels", channel, "messages"] if channel in self.messages:
                return self.page(call, self.messages[channel])
        self.unknown(call)

    def channel(self, name):
        messages = self.messages[name]
        last = max((m["id"] for m in messages), key=int, default=None)
        return {"id": name, "type": 0, "guild_id": GUILD, "name": f"c{name[-1]}", "last_message_id": last}

    def page(self, call, messages):
        given = self.check(call, call.query, (), ("limit", "before", "after", "around"))
        limit = self.whole(call, given, "limit", 50, 1, 100)
        self.wants(
            call,
            len({"before", "after", "around"} & set(given)) <= 1,
            "before, after and around exclude each other",
        )
        found = sorted(messages, key=lambda one: int(one["id"]))
        if "after" in given:
            found = [one for one in found if int(one["id"]) > int(given["after"])][:limit]
        else:
            before = int(given.get("before", 1 << 63))
            found = [one for one in found if int(one["id"]) < before][-limit:]
        headers = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "1.0"}
        return 200, [dict(one) for one in reversed(found)], headers

    def spent(self):
        return 2.5, {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "2.5"}

    def limits(self):
        def body(is_global):
            return {"message": "You are being rate limited.", "retry_after": 2.25, "global": is_global}

        shared = {"Retry-After": "3", "X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0"}
        route = shared | {
            "X-RateLimit-Reset-After": "2.25",
            "X-RateLimit-Scope": "user",
            "X-RateLimit-Bucket": "b",
        }
        everything = {"Retry-After": "3", "X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
        edge = {"Retry-After": "2", "Content-Type": "text/html"}
        return [
            ("of the route", 2.25, (429, body(False), route)),
            ("global", 2.25, (429, body(True), everything)),
            ("of the network's edge", 2, (429, b"<html>1015</html>", edge)),
        ]
