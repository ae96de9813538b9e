"""Google Chat's spaces and their messages, by page tokens, with tokens for a service account's assertion."""

import base64
import json
import re
import secrets
import time
from datetime import datetime, timezone

import jwt
from cryptography.hazmat.primitives import serialization

import feeds
from catalogue import private_key

# Made once: threads that ask for the first time would make several.
KEY = private_key()
APP = "users/100000000000000000001"
SCOPES = {
    "https://www.googleapis.com/auth/chat.app.messages.readonly",
    "https://www.googleapis.com/auth/chat.bot",
}


def moment(at):
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Feed(feeds.Feed):
    is_swept = True
    platform = "google-chat"
    sample = "text"
    # Reactions are summed up without their people.
    finds = frozenset({"edit", "delete"})
    has_refresh = True
    rotates = True
    before = 450
    burst = 450

    def __init__(self):
        super().__init__()
        self.spaces = ["spaces/AAAA", "spaces/BBBB"]
        self.messages = {space: [] for space in self.spaces}
        self.count = 0
        self.epoch = 0
        self.grants = 0
        self.last = 0

    def credentials(self):
        key = {
            "type": "service_account",
            "client_email": "hub@project.iam.gserviceaccount.com",
            "private_key": KEY,
            "private_key_id": "k1",
            "token_uri": f"{self.server.url}/token",
        }
        scopes = "chat.bot chat.app.messages.readonly"
        shared = {
            "serviceAccountKey": json.dumps(key),
            "scopes": scopes,
            "appUser": APP,
            "apiURL": self.server.url,
        }
        return shared | {"testKey": KEY}

    def stamp(self):
        self.last = max(self.last + 0.001, time.time())
        return self.last

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            space = self.spaces[place]
            ada = {"name": "users/200", "displayName": "Ada", "type": "HUMAN"}
            message = {
                "name": f"{space}/messages/{self.number}.{self.count}",
                "sender": {"name": APP, "displayName": "Hub", "type": "BOT"} if own else ada,
                "createTime": moment(at if at is not None else self.stamp()),
                "text": text,
                "formattedText": text,
                "argumentText": text,
                "thread": {"name": f"{space}/threads/{self.count}"},
                "space": {"name": space},
            }
            self.messages[space].append(message)
            return message

    def edit(self, message, text):
        message |= {
            "text": text,
            "formattedText": text,
            "argumentText": text,
            "lastUpdateTime": moment(self.stamp()),
        }

    def delete(self, message):
        at = moment(self.stamp())
        for name in ("text", "formattedText", "argumentText"):
            message.pop(name, None)
        message |= {"deleteTime": at, "lastUpdateTime": at, "deletionMetadata": {"deletionType": "CREATOR"}}

    def webhook(self, message):
        space = message["space"] | {"type": "ROOM", "spaceType": "SPACE", "displayName": "Team"}
        at = message["createTime"]
        return {
            "type": "MESSAGE",
            "eventTime": at,
            "user": message["sender"],
            "space": space,
            "message": message,
        }

    def error(self, code, status, words):
        return feeds.Refused(code, {"error": {"code": code, "message": words, "status": status}})

    def authorise(self, call):
        if call.path == "/token":
            return
        if self.revoked or call.headers.get("authorization") != f"Bearer {self.token}":
            raise self.error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")

    def route(self, call):
        if call.path == "/token" and call.method == "POST":
            return self.grant(call)
        self.wants(call, call.method == "GET", "only reading is expected")
        if call.path == "/v1/spaces":
            given = self.check(call, call.query, (), ("pageSize", "pageToken", "filter"))
            self.whole(call, given, "pageSize", 100, 1, 1_000)
            start = self.start(call, given)
            spaces = [self.space(one) for one in self.spaces[start : start + 1]]
            answer = {"spaces": spaces}
            if start + 1 < len(self.spaces):
                answer["nextPageToken"] = self.page(start + 1, given)
            return 200, answer
        match = re.fullmatch(r"/v1/(spaces/\w+)/messages", call.path)
        if match and match[1] in self.messages:
            return self.list(call, self.messages[match[1]])
        self.unknown(call)

    def space(self, name):
        last = max((one["createTime"] for one in self.messages[name]), default=moment(1))
        return {
            "name": name,
            "type": "ROOM",
            "spaceType": "SPACE",
            "displayName": "Team",
            "lastActiveTime": last,
        }

    def list(self, call, messages):
        given = self.check(
            call, call.query, (), ("pageSize", "pageToken", "filter", "orderBy", "showDeleted")
        )
        size = self.whole(call, given, "pageSize", 25, 1, 1_000)
        order = given.get("orderBy", "createTime ASC")
        self.wants(call, order in ("createTime ASC", "createTime DESC"), f"no order {order}")
        least = re.fullmatch(
            r'createTime > "([^"]+)"', given.get("filter", 'createTime > "1970-01-01T00:00:00Z"')
        )
        self.wants(call, least, f"no filter {given.get('filter')}")
        since = datetime.fromisoformat(least[1].replace("Z", "+00:00")).timestamp()
        shows = given.get("showDeleted") == "true"
        found = [
            one
            for one in messages
            if datetime.fromisoformat(one["createTime"].replace("Z", "+00:00")).timestamp() > since
            and (shows or "deleteTime" not in one)
        ]
        found.sort(key=lambda one: one["createTime"], reverse=order.endswith("DESC"))
        start = self.start(call, given)
        answer = {"messages": [dict(one) for one in found[start : start + size]]}
        if start + size < len(found):
            answer["nextPageToken"] = self.page(start + size, given)
        return 200, answer

    def page(self, start, given):
        shape = [given.get("filter"), given.get("orderBy"), given.get("pageSize"), given.get("showDeleted")]
        return base64.urlsafe_b64encode(json.dumps([self.epoch, start, shape]).encode()).decode()

    def start(self, call, given):
        if not given.get("pageToken"):
            return 0
        epoch, start, shape = json.loads(base64.urlsafe_b64decode(given["pageToken"]))
        same = [given.get("filter"), given.get("orderBy"), given.get("pageSize"), given.get("showDeleted")]
        self.wants(
            call, shape == same, "all other parameters have to be those of the call that gave the token"
        )
        if epoch != self.epoch:
            raise self.error(400, "INVALID_ARGUMENT", "The page token is invalid.")
        return start

    def grant(self, call):
        given = self.check(call, call.form, ("grant_type", "assertion"))
        self.wants(
            call, given["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer", "another grant"
        )
        key = serialization.load_pem_private_key(KEY.encode(), None).public_key()
        claims = jwt.decode(
            given["assertion"], key, algorithms=["RS256"], audience=f"{self.server.url}/token"
        )
        self.wants(call, set(claims["scope"].split()) <= SCOPES, f"scopes {claims['scope']}")
        self.wants(call, claims["exp"] - claims["iat"] <= 3_600, "an assertion lives for an hour at most")
        if self.revoked:
            words = "Invalid grant: account not found"
            raise feeds.Refused(400, {"error": "invalid_grant", "error_description": words})
        self.grants += 1
        self.token = f"ya29.{secrets.token_hex(8)}"
        return 200, {"access_token": self.token, "expires_in": 3_599, "token_type": "Bearer"}

    def limits(self):
        words = (
            "Quota exceeded for quota metric 'Message reads' and limit 'Message reads per minute per space'"
        )
        body = {"error": {"code": 429, "message": words, "status": "RESOURCE_EXHAUSTED"}}
        return [("Retry-After", 2, (429, body, {"Retry-After": "2"})), ("without a time", 1, (429, body))]

    def expire(self):
        with self.lock:
            self.epoch += 1
        return True

    def expire_token(self):
        with self.lock:
            self.token = "another"
