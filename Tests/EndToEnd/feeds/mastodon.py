"""Mastodon's notifications, statuses of an account and conversations, by ids and Link headers."""

import time
from datetime import datetime, timezone

import feeds

ME, ADA = "110", "111"


def moment(at):
    return (
        datetime.fromtimestamp(int(at * 1000) / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        + "Z"
    )


class Feed(feeds.Feed):
    platform = "mastodon"
    sample = "status"
    # Deletions are told by streams only; people's favourites are of the account's own statuses.
    finds = frozenset({"edit", "react own"})
    before = 100
    burst = 100
    places = 1

    def __init__(self):
        super().__init__()
        self.statuses = []
        self.notifications = []
        self.count = 0

    def credentials(self):
        return {
            "accessToken": self.token,
            "server": self.server.url,
            "webhookSecret": f"hook-secret-{self.number}",
        }

    def account(self, name):
        names = {ME: "hub", ADA: "ada"}
        url = f"https://social.example/@{names[name]}"
        account = {
            "id": name,
            "username": names[name],
            "acct": names[name],
            "display_name": names[name].title(),
            "url": url,
        }
        account |= {
            "note": "",
            "avatar": url + "/a.png",
            "header": "",
            "bot": False,
            "locked": False,
            "emojis": [],
            "fields": [],
        }
        return account | {
            "created_at": moment(0),
            "followers_count": 1,
            "following_count": 1,
            "statuses_count": 1,
        }

    def identifier(self, at):
        self.count += 1
        return str((int(at * 1000) << 16) | (self.count & 0xFFFF))

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            at = at if at is not None else time.time()
            other, name = (ADA, "ada") if own else (ME, "hub")
            status = {
                "id": self.identifier(at),
                "created_at": moment(at),
                "edited_at": None,
                "in_reply_to_id": None,
                "in_reply_to_account_id": None,
                "sensitive": False,
                "spoiler_text": "",
                "visibility": "direct",
                "language": "en",
                "uri": "https://social.example/s",
                "url": "https://social.example/s",
                "replies_count": 0,
                "reblogs_count": 0,
                "favourites_count": 0,
                "content": f'<p>{self.mention(name)} {text}</p>',
                "reblog": None,
                "account": self.account(ME if own else ADA),
                "media_attachments": [],
                "mentions": [
                    {"id": other, "username": name, "acct": name, "url": f"https://social.example/@{name}"}
                ],
                "tags": [],
                "emojis": [],
                "card": None,
                "poll": None,
            }
            self.statuses.append(status)
            if not own:
                self.notify("mention", status, at)
            return status

    def mention(self, name):
        link = f'<a href="https://social.example/@{name}">@<span>{name}</span></a>'
        return f'<span class="h-card">{link}</span>'

    def notify(self, kind, status, at):
        self.count += 1
        notification = {"id": str(int(at * 1000) * 1000 + self.count), "type": kind, "created_at": moment(at)}
        self.notifications.append(notification | {"account": self.account(ADA), "status": status})

    def read(self, message):
        return (message["text"] or "").removeprefix("@hub ").removeprefix("@ada ")

    def edit(self, message, text):
        before, _, _ = message["content"].rpartition("</span> ")
        message |= {"content": f"{before}</span> {text}</p>", "edited_at": moment(time.time())}

    def react(self, message):
        message["favourites_count"] = 1
        self.notify("favourite", message, time.time())

    def webhook(self, message):
        return {"event": "status.created", "created_at": message["created_at"], "object": message}

    def authorise(self, call):
        if self.revoked:
            raise feeds.Refused(401, {"error": "The access token was revoked"})
        if call.headers.get("authorization") != f"Bearer {self.token}":
            raise feeds.Refused(401, {"error": "The access token is invalid"})

    def route(self, call):
        self.wants(call, call.method == "GET", "only reading is expected")
        match call.path.removeprefix("/api/v1/").rstrip("/").split("/"):
            case ["accounts", "verify_credentials"]:
                self.check(call, call.query)
                return 200, self.account(ME) | {
                    "source": {"privacy": "public", "sensitive": False, "note": "", "fields": []}
                }
            case ["notifications"]:
                self.check(
                    call,
                    call.query,
                    (),
                    ("max_id", "since_id", "min_id", "limit", "types[]", "exclude_types[]", "account_id"),
                )
                kind = call.query.get("types[]")
                found = [one for one in self.notifications if kind in (None, one["type"])]
                return self.page(call, found, 40, 80)
            case ["accounts", account, "statuses"]:
                optional = (
                    "max_id",
                    "since_id",
                    "min_id",
                    "limit",
                    "only_media",
                    "exclude_replies",
                    "exclude_reblogs",
                )
                self.check(call, call.query, (), optional + ("pinned", "tagged"))
                return self.page(
                    call, [one for one in self.statuses if one["account"]["id"] == account], 20, 40
                )
            case ["conversations"]:
                self.check(call, call.query, (), ("max_id", "since_id", "min_id", "limit"))
                self.whole(call, call.query, "limit", 20, 1, 40)
                if not self.statuses:
                    return 200, []
                last = max(self.statuses, key=lambda one: int(one["id"]))
                return 200, [
                    {"id": "5", "unread": True, "accounts": [self.account(ADA)], "last_status": last}
                ]
        self.unknown(call)

    def page(self, call, items, usual, most):
        given = call.query
        limit = self.whole(call, given, "limit", usual, 1, most)
        found = sorted(items, key=lambda one: int(one["id"]), reverse=True)
        if "max_id" in given:
            found = [one for one in found if int(one["id"]) < int(given["max_id"])]
        if "min_id" in given:
            # The oldest of what is newer, and still the newest first.
            found = [one for one in found if int(one["id"]) > int(given["min_id"])][-limit:]
        elif "since_id" in given:
            found = [one for one in found if int(one["id"]) > int(given["since_id"])]
        found = found[:limit]
        headers = {
            "X-RateLimit-Limit": "300",
            "X-RateLimit-Remaining": "299",
            "X-RateLimit-Reset": moment(time.time() + 300),
        }
        if found:
            base = self.server.url + call.path
            headers["Link"] = (
                f'<{base}?max_id={found[-1]["id"]}>; rel="next", <{base}?min_id={found[0]["id"]}>; rel="prev"'
            )
        return 200, found, headers

    def limits(self):
        end = time.time() + 2.5
        reset = datetime.fromtimestamp(end, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        headers = {"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
        return [("reset as a date", end - time.time() - 0.01, (429, {"error": "Too many requests"}, headers))]
