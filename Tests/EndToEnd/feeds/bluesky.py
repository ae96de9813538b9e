"""Bluesky's chat: sessions that end, a log of all conversations by revision, messages of one by cursor."""

import base64
import json
import secrets
import time
from datetime import datetime, timezone

import feeds

ME, ADA = "did:plc:hubhubhubhubhubhubhubhub", "did:plc:adaadaadaadaadaadaadaada"
LETTERS = "234567abcdefghijklmnopqrstuvwxyz"
LOG_MAX = 100


def tid(micro, clock):
    """A timestamp identifier: 53 bits of microseconds and 10 of a clock, in sortable base 32."""
    number, text = (micro << 10) | (clock & 1023), ""
    for _ in range(13):
        number, rest = divmod(number, 32)
        text = LETTERS[rest] + text
    return text


def moment(at):
    return (
        datetime.fromtimestamp(int(at * 1000) / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        + "Z"
    )


def token(scope, expires):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "scope": scope,
        "sub": ME,
        "iat": int(time.time()),
        "exp": int(expires),
        "jti": secrets.token_hex(8),
    }
    return f"{part({'typ': 'at+jwt', 'alg': 'HS256'})}.{part(claims)}.{part(secrets.token_hex(8))}"


class Feed(feeds.Feed):
    platform = "bluesky"
    finds = frozenset({"delete", "react"})
    has_webhook = False
    has_refresh = True
    rotates = True

    def __init__(self):
        super().__init__()
        self.password = self.token
        self.access, self.refresh, self.used = set(), set(), set()
        self.log = []
        self.messages = {"convo1": [], "convo2": []}
        self.revisions = {"convo1": tid(1, 0), "convo2": tid(1, 0)}
        self.micro = 0
        self.renewals = 0
        self.sessions = 0

    def credentials(self):
        return {"identifier": "hub.example.com", "appPassword": self.password, "apiURL": self.server.url}

    def revision(self, at=None):
        self.micro = max(self.micro + 1, int((at if at is not None else time.time()) * 1_000_000))
        return tid(self.micro, self.number)

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            convo = list(self.messages)[place]
            rev = self.revision(at)
            message = {
                "$type": "chat.bsky.convo.defs#messageView",
                "id": rev,
                "rev": rev,
                "text": text,
                "sender": {"did": ME if own else ADA},
                "sentAt": moment(at if at is not None else time.time()),
            }
            self.messages[convo].append(message)
            self.tell(convo, rev, "logCreateMessage", message=dict(message))
            return message

    def tell(self, convo, rev, kind, **more):
        self.log.append({"$type": f"chat.bsky.convo.defs#{kind}", "rev": rev, "convoId": convo} | more)
        self.revisions[convo] = rev

    def convo(self, message):
        return next(name for name, messages in self.messages.items() if message in messages)

    def delete(self, message):
        with self.lock:
            convo, rev = self.convo(message), self.revision()
            gone = {key: message[key] for key in ("id", "sender", "sentAt")} | {"rev": rev}
            gone["$type"] = "chat.bsky.convo.defs#deletedMessageView"
            self.messages[convo][self.messages[convo].index(message)] = gone
            self.tell(convo, rev, "logDeleteMessage", message=gone)

    def react(self, message):
        with self.lock:
            convo, rev = self.convo(message), self.revision()
            reaction = {"value": "👍", "sender": {"did": ADA}, "createdAt": moment(time.time())}
            message |= {"reactions": [reaction], "rev": rev}
            self.tell(convo, rev, "logAddReaction", message=dict(message), reaction=reaction)

    def error(self, status, name, words):
        return feeds.Refused(status, {"error": name, "message": words})

    def authorise(self, call):
        name = call.path.removeprefix("/xrpc/")
        given = call.headers.get("authorization", "").removeprefix("Bearer ")
        if name == "com.atproto.server.createSession":
            return
        if name == "com.atproto.server.refreshSession":
            if given in self.used:
                self.violations.append("a refresh token was used twice")
            if self.revoked or given not in self.refresh:
                raise self.error(400, "ExpiredToken", "Token has been revoked")
            return
        if given not in self.access:
            raise self.error(400, "ExpiredToken", "Token has expired")
        proxy = call.headers.get("atproto-proxy")
        self.wants(call, proxy == "did:web:api.bsky.chat#bsky_chat", f"atproto-proxy is {proxy}")

    def route(self, call):
        name = call.path.removeprefix("/xrpc/")
        match (call.method, name.removeprefix("chat.bsky.convo.")):
            case ("POST", "com.atproto.server.createSession"):
                given = self.check(
                    call, call.json, ("identifier", "password"), ("authFactorToken", "allowTakendown")
                )
                if self.revoked or given["password"] != self.password:
                    raise self.error(401, "AuthenticationRequired", "Invalid identifier or password")
                self.sessions += 1
                return self.session()
            case ("POST", "com.atproto.server.refreshSession"):
                used = call.headers["authorization"].removeprefix("Bearer ")
                self.refresh.discard(used)
                self.used.add(used)
                self.renewals += 1
                return self.session()
            case ("GET", "listConvos"):
                given = self.check(
                    call, call.query, (), ("limit", "cursor", "readState", "status", "kind", "lockStatus")
                )
                limit = self.whole(call, given, "limit", 50, 1, 100)
                convos = sorted(
                    (self.view(one) for one in self.messages), key=lambda one: one["rev"], reverse=True
                )
                start = int(given.get("cursor", 0))
                answer = {"convos": convos[start : start + limit]}
                return 200, answer | ({"cursor": str(start + limit)} if start + limit < len(convos) else {})
            case ("GET", "getConvo"):
                given = self.check(call, call.query, ("convoId",))
                return 200, {"convo": self.view(given["convoId"])}
            case ("GET", "getLog"):
                given = self.check(call, call.query, (), ("cursor",))
                found = [entry for entry in self.log if entry["rev"] > given.get("cursor", "")][:LOG_MAX]
                answer = {"logs": found}
                return 200, answer | ({"cursor": found[-1]["rev"]} if found else {})
            case ("GET", "getMessages"):
                given = self.check(call, call.query, ("convoId",), ("limit", "cursor"))
                limit = self.whole(call, given, "limit", 50, 1, 100)
                found = sorted(self.messages[given["convoId"]], key=lambda one: one["id"], reverse=True)
                found = [one for one in found if one["id"] < given.get("cursor", "~")]
                answer = {"messages": found[:limit]}
                return 200, answer | ({"cursor": found[limit - 1]["id"]} if len(found) > limit else {})
        self.unknown(call)

    def session(self):
        now = time.time()
        access, refresh = token("com.atproto.appPass", now + 7_200), token(
            "com.atproto.refresh", now + 60 * feeds.DAY
        )
        self.access.add(access)
        self.refresh.add(refresh)
        answer = {
            "accessJwt": access,
            "refreshJwt": refresh,
            "handle": "hub.example.com",
            "did": ME,
            "active": True,
        }
        return 200, answer

    def view(self, name):
        people = [
            {"did": did, "handle": f"{name}.example.com", "displayName": name.title()}
            for did, name in ((ME, "hub"), (ADA, "ada"))
        ]
        last = max(self.messages[name], key=lambda one: one["id"], default=None)
        view = {"id": name, "rev": self.revisions[name], "members": people, "muted": False, "unreadCount": 0}
        return view | {"status": "accepted"} | ({"lastMessage": last} if last else {})

    def limits(self):
        end = int(time.time()) + 3
        headers = {"RateLimit-Limit": "3000", "RateLimit-Remaining": "0", "RateLimit-Reset": str(end)}
        headers["RateLimit-Policy"] = "3000;w=300"
        body = {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}
        return [
            ("RateLimit-Reset", end - time.time(), (429, body, headers)),
            ("Retry-After", 2, (429, body, {"Retry-After": "2"})),
        ]

    def expire_token(self):
        with self.lock:
            self.access.clear()
