"""Mattermost's API v4: channels of a user, posts since a change (at most a thousand), posts before a post."""

import secrets
import time

import feeds

SINCE_MAX = 1_000


def identifier():
    return secrets.token_hex(13)


class Feed(feeds.Feed):
    most = SINCE_MAX
    platform = "mattermost"
    finds = frozenset({"edit", "delete", "react"})

    def __init__(self):
        super().__init__()
        self.me, self.ada = identifier(), identifier()
        self.channels = [
            {"id": identifier(), "type": "D", "name": f"{self.me}__{self.ada}", "display_name": ""},
            {"id": identifier(), "type": "O", "name": "town", "display_name": "Town"},
        ]
        self.posts = {channel["id"]: [] for channel in self.channels}
        self.last = 0

    def credentials(self):
        return {"accessToken": self.token, "server": self.server.url, "token": f"hook-{self.number}"}

    def stamp(self):
        # Milliseconds that no two changes share, so that their order is known.
        self.last = max(self.last + 1, int(time.time() * 1000))
        return self.last

    def say(self, text, at=None, place=0, own=False, root=None):
        with self.lock:
            stamp = int(at * 1000) if at is not None else self.stamp()
            channel = self.channels[place]["id"]
            post = {
                "id": identifier(),
                "create_at": stamp,
                "update_at": stamp,
                "edit_at": 0,
                "delete_at": 0,
                "is_pinned": False,
                "user_id": self.me if own else self.ada,
                "channel_id": channel,
                "root_id": root["id"] if root else "",
                "original_id": "",
                "message": text,
                "type": "",
                "props": {},
                "hashtags": "",
                "file_ids": [],
                "pending_post_id": "",
                "metadata": {},
            }
            if root:
                root["update_at"] = stamp
            self.posts[channel].append(post)
            return post

    def answer_to(self, message, text):
        place = next(n for n, channel in enumerate(self.channels) if channel["id"] == message["channel_id"])
        return self.say(text, place=place, root=message)

    def edit(self, message, text):
        with self.lock:
            stamp = self.stamp()
            before = message | {
                "id": identifier(),
                "original_id": message["id"],
                "delete_at": stamp,
                "update_at": stamp,
            }
            message |= {"message": text, "edit_at": stamp, "update_at": stamp}
            self.posts[message["channel_id"]].append(before)

    def delete(self, message):
        stamp = self.stamp()
        message |= {"delete_at": stamp, "update_at": stamp}

    def react(self, message):
        stamp = self.stamp()
        reaction = {
            "user_id": self.ada,
            "post_id": message["id"],
            "emoji_name": "thumbsup",
            "create_at": stamp,
        }
        message |= {"metadata": {"reactions": [reaction]}, "has_reactions": True, "update_at": stamp}

    def webhook(self, message):
        return {
            "token": f"hook-{self.number}",
            "team_id": "t",
            "team_domain": "team",
            "channel_id": message["channel_id"],
            "channel_name": "town",
            "timestamp": message["create_at"],
            "user_id": message["user_id"],
            "user_name": "ada",
            "post_id": message["id"],
            "text": message["message"],
            "trigger_word": "",
            "file_ids": "",
        }

    def authorise(self, call):
        if self.revoked or call.headers.get("authorization") != f"Bearer {self.token}":
            body = {"id": "api.context.session_expired.app_error", "detailed_error": "", "request_id": "r"}
            words = "Invalid or expired session, please login again."
            raise feeds.Refused(401, body | {"message": words, "status_code": 401})

    def route(self, call):
        match call.path.removeprefix("/api/v4/").split("/"):
            case ["users", "me"]:
                self.check(call, call.query)
                return 200, {"id": self.me, "username": "hub", "first_name": "", "last_name": ""}
            case ["users", "ids"] if call.method == "POST":
                people = {self.me: "hub", self.ada: "ada"}
                found = [
                    {"id": one, "username": people[one], "first_name": "", "last_name": ""}
                    for one in call.json
                    if one in people
                ]
                return 200, found
            case ["users", user, "channels"] if user == self.me:
                self.check(call, call.query, (), ("last_delete_at", "include_deleted"))
                return 200, [self.channel(one) for one in self.channels]
            case ["channels", channel, "posts"] if channel in self.posts:
                return self.list(call, self.posts[channel])
        self.unknown(call)

    def channel(self, channel):
        last = max((post["create_at"] for post in self.posts[channel["id"]]), default=0)
        return channel | {"create_at": 1, "update_at": 1, "delete_at": 0, "team_id": "", "last_post_at": last}

    def list(self, call, posts):
        optional = ("page", "per_page", "since", "before", "after", "include_deleted", "skipFetchThreads")
        given = self.check(call, call.query, (), optional)
        size = self.whole(call, given, "per_page", 60, 1, 200)
        if "since" in given:
            since = int(given["since"])
            # Which thousand is not said: here it is the oldest.
            found = sorted(
                (post for post in posts if post["update_at"] > since), key=lambda p: p["create_at"]
            )[:SINCE_MAX]
            roots = {post["root_id"] for post in found}
            others = [post for post in posts if post["id"] in roots and post not in found]
            return 200, self.answered(found, others)
        alive = sorted(
            (post for post in posts if not post["delete_at"]), key=lambda p: p["create_at"], reverse=True
        )
        if "before" in given:
            place = next((n for n, post in enumerate(alive) if post["id"] == given["before"]), None)
            if place is None:
                self.violate(call, "no such post")
            alive = alive[place + 1 :]
        page = self.whole(call, given, "page", 0, 0, 10_000)
        found = alive[page * size : (page + 1) * size]
        roots = {post["root_id"] for post in found}
        return 200, self.answered(
            found, [post for post in posts if post["id"] in roots and post not in found]
        )

    def answered(self, found, others):
        """Posts, the newest first; roots of threads are among the posts, but not in the order."""
        order = [post["id"] for post in sorted(found, key=lambda post: post["create_at"], reverse=True)]
        return {
            "order": order,
            "posts": {post["id"]: post for post in found + others},
            "next_post_id": "",
            "prev_post_id": "",
        }

    def limits(self):
        shared = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "Content-Type": "text/plain"}
        return [
            (
                "Retry-After and reset",
                2,
                (429, b"limit exceeded", shared | {"X-RateLimit-Reset": "2", "Retry-After": "2"}),
            ),
            ("X-RateLimit-Reset alone", 2, (429, b"limit exceeded", shared | {"X-RateLimit-Reset": "2"})),
        ]
