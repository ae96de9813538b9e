"""Reddit's inbox and sent listings, the newest first, by names of entries that may be gone."""

import base64
import secrets
import time

import feeds

NAME = "hub_bot"


def base36(number):
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + text
    return text


class Feed(feeds.Feed):
    platform = "reddit"
    has_webhook = False
    has_refresh = True
    rotates = True
    seconds_only = True

    def __init__(self):
        super().__init__()
        self.entries = []
        self.roots = {}
        self.count = 0
        self.refresh = f"refresh-{self.token}"
        self.grants = 0

    def credentials(self):
        shared = {"clientId": "client", "clientSecret": "s", "username": NAME, "refreshToken": self.refresh}
        return shared | {
            "apiURL": self.server.url,
            "loginURL": self.server.url,
            "userAgent": "linux:hub:1 (by /u/hub_bot)",
        }

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            number = 10_000_000 + self.number * 100_000 + self.count
            at = float(int(at if at is not None else time.time()))
            root = self.roots.setdefault(place, (f"t4_{base36(number)}", number))
            is_root = root[1] == number
            author, other = (NAME, f"ada{place}") if own else (f"ada{place}", NAME)
            data = {
                "name": f"t4_{base36(number)}",
                "id": base36(number),
                "author": author,
                "author_fullname": f"t2_{author}",
                "dest": other,
                "subject": "hello" if is_root else "re: hello",
                "body": text,
                "body_html": f'<div class="md"><p>{text}</p></div>',
                "created_utc": at,
                "created": at,
                "first_message": None if is_root else root[1],
                "first_message_name": None if is_root else root[0],
                "parent_id": None if is_root else root[0],
                "context": "",
                "was_comment": False,
                "new": not own,
                "replies": "",
                "subreddit": None,
                "distinguished": None,
                "likes": None,
                "num_comments": None,
                "score": 0,
                "type": "unknown",
            }
            self.entries.append(data)
            return data

    def delete(self, message):
        self.entries.remove(message)

    def authorise(self, call):
        self.wants(call, call.headers.get("user-agent", "").count(":") == 2, "no User-Agent of the app's own")
        if call.path == "/api/v1/access_token":
            return
        kind, _, given = call.headers.get("authorization", "").partition(" ")
        if self.revoked or (kind.lower(), given) != ("bearer", self.token):
            headers = {"www-authenticate": 'Bearer realm="reddit", error="invalid_token"'}
            raise feeds.Refused(401, {"message": "Unauthorized", "error": 401}, headers)

    def route(self, call):
        match (call.method, call.path.rstrip("/")):
            case ("POST", "/api/v1/access_token"):
                return self.renew(call)
            case ("GET", "/api/v1/me"):
                self.check(call, call.query, (), ("raw_json",))
                return 200, {"id": "hub", "name": NAME, "created_utc": 1.0}
            case ("GET", "/message/inbox"):
                return self.listing(call, [one for one in self.entries if one["author"] != NAME])
            case ("GET", "/message/sent"):
                return self.listing(call, [one for one in self.entries if one["author"] == NAME])
        self.unknown(call)

    def listing(self, call, entries):
        optional = (
            "limit",
            "after",
            "before",
            "count",
            "show",
            "sr_detail",
            "raw_json",
            "mark",
            "mid",
            "max_replies",
        )
        given = self.check(call, call.query, (), optional)
        limit = self.whole(call, given, "limit", 25, 1, 100)
        self.wants(call, not {"after", "before"} <= set(given), "after and before exclude each other")
        found = sorted(entries, key=lambda one: (one["created_utc"], one["id"]), reverse=True)[:1_000]
        if given.get("after"):
            place = next((n for n, one in enumerate(found) if one["name"] == given["after"]), None)
            # An entry that is gone has nothing behind it.
            found = found[place + 1 :] if place is not None else []
        part = found[:limit]
        after = part[-1]["name"] if len(found) > limit else None
        children = [{"kind": "t4", "data": one} for one in part]
        data = {
            "after": after,
            "before": None,
            "dist": len(part),
            "modhash": None,
            "geo_filter": "",
            "children": children,
        }
        headers = {"x-ratelimit-remaining": "598.0", "x-ratelimit-used": "2", "x-ratelimit-reset": "300"}
        return 200, {"kind": "Listing", "data": data}, headers

    def renew(self, call):
        basic = base64.b64encode(b"client:s").decode()
        if call.headers.get("authorization") != f"Basic {basic}":
            raise feeds.Refused(401, {"message": "Unauthorized", "error": 401})
        given = self.check(
            call, call.form, ("grant_type",), ("refresh_token", "username", "password", "scope")
        )
        self.wants(call, given["grant_type"] == "refresh_token", "the account has a refresh token")
        if self.revoked or given.get("refresh_token") != self.refresh:
            raise feeds.Refused(400, {"message": "Bad Request", "error": 400})
        self.token = f"access-{secrets.token_hex(8)}"
        self.grants += 1
        answer = {"access_token": self.token, "token_type": "bearer", "expires_in": 86_400, "scope": "*"}
        return 200, answer | {"refresh_token": self.refresh}

    def limits(self):
        body = {"message": "Too Many Requests", "error": 429}
        headers = {"x-ratelimit-remaining": "0.0", "x-ratelimit-used": "600", "x-ratelimit-reset": "3"}
        return [
            ("x-ratelimit-reset", 3, (429, body, headers)),
            ("Retry-After", 2, (429, body, {"Retry-After": "2"})),
        ]

    def expire(self):
        """The entry that a page ended with is deleted before the next page is asked for."""

        def gone(call):
            name = call.query.get("after")
            if name:
                self.entries[:] = [one for one in self.entries if one["name"] != name]
                self.gone = name
            else:
                # Not the second page yet.
                self.refusals.insert(0, gone)
            self.authorise(call)
            return self.route(call)

        self.gone = None
        self.refuse(gone)
        return True

    def expire_token(self):
        with self.lock:
            self.token = "another"
