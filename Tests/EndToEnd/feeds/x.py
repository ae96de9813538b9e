"""X's /2/dm_events: the newest first, pages by pagination_token, no way to ask for what is behind an id."""

import base64
import secrets
import time
from datetime import datetime, timezone

import feeds

OTHER = "906"
FIELDS = {
    "dm_event.fields": {
        "attachments",
        "created_at",
        "dm_conversation_id",
        "entities",
        "event_type",
        "id",
        "participant_ids",
        "referenced_tweets",
        "sender_id",
        "text",
    },
    "event_types": {"MessageCreate", "ParticipantsJoin", "ParticipantsLeave"},
    "expansions": {"attachments.media_keys", "participant_ids", "referenced_tweets.id", "sender_id"},
}


def snowflake(at, number):
    return ((int(at * 1000) - 1_288_834_974_657) << 22) | (number & 0x3FFFFF)


def moment(at):
    return (
        datetime.fromtimestamp(int(at * 1000) / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        + "Z"
    )


class Feed(feeds.Feed):
    platform = "x"
    has_refresh = True

    def __init__(self):
        super().__init__()
        self.own = str(433_000 + self.number)
        self.events = []
        self.count = 0
        self.epoch = 0
        self.rotates = False
        self.refresh = f"refresh-{self.token}"

    def credentials(self):
        shared = {"userId": self.own, "consumerSecret": f"consumer-{self.number}", "apiURL": self.server.url}
        if self.rotates:
            return shared | {"refreshToken": self.refresh, "clientId": "client", "clientSecret": "s"}
        return shared | {"accessToken": self.token}

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            at = at if at is not None else time.time()
            other = str(int(OTHER) + place)
            event = {
                "id": str(snowflake(at, self.count)),
                "event_type": "MessageCreate",
                "text": text,
                "sender_id": self.own if own else other,
                "dm_conversation_id": f"{self.own}-{other}",
                "created_at": moment(at),
            }
            self.events.append(event)
            return event

    def delete(self, message):
        self.events.remove(message)

    def webhook(self, message):
        other = message["sender_id"]
        at = (int(message["id"]) >> 22) + 1_288_834_974_657
        content = {
            "target": {"recipient_id": self.own},
            "sender_id": other,
            "message_data": {"text": message["text"]},
        }
        event = {
            "type": "message_create",
            "id": message["id"],
            "created_timestamp": str(at),
            "message_create": content,
        }
        return {"for_user_id": self.own, "direct_message_events": [event], "users": {}}

    def problem(self, status, title, detail, **more):
        return {"title": title, "detail": detail, "type": "about:blank", "status": status} | more

    def authorise(self, call):
        if call.path == "/2/oauth2/token":
            return
        if self.revoked or call.headers.get("authorization") != f"Bearer {self.token}":
            raise feeds.Refused(401, self.problem(401, "Unauthorized", "Unauthorized"))

    def route(self, call):
        if call.path == "/2/oauth2/token":
            return self.renew(call)
        if call.path != "/2/dm_events" or call.method != "GET":
            self.unknown(call)
        fields = (*FIELDS, "max_results", "pagination_token", "user.fields", "media.fields", "tweet.fields")
        given = self.check(call, call.query, (), fields)
        for name, known in FIELDS.items():
            strange = set(given.get(name, "").split(",")) - known - {""}
            self.wants(call, not strange, f"{name} has {strange}")
        limit = self.whole(call, given, "max_results", 100, 1, 100)
        found = sorted(self.events, key=lambda one: int(one["id"]), reverse=True)
        found = [
            e
            for e in found
            if time.time() - ((int(e["id"]) >> 22) + 1_288_834_974_657) / 1000 < 30 * feeds.DAY
        ]
        start = self.place(call, given)
        part = found[start : start + limit]
        meta = {"result_count": len(part)}
        if start + limit < len(found):
            meta["next_token"] = (
                base64.b32encode(f"{self.epoch}:{start + limit}".encode()).decode().rstrip("=")
            )
        answer = {"meta": meta}
        if part:
            people = sorted({one["sender_id"] for one in part})
            users = [{"id": one, "name": f"Person {one}", "username": f"p{one}"} for one in people]
            answer |= {"data": part, "includes": {"users": users}}
        return 200, answer

    def place(self, call, given):
        if "pagination_token" not in given:
            return 0
        token = given["pagination_token"]
        epoch, start = base64.b32decode(token + "=" * (-len(token) % 8)).decode().split(":")
        if int(epoch) != self.epoch:
            error = {
                "parameters": {"pagination_token": [token]},
                "message": "The pagination_token is not valid",
            }
            raise feeds.Refused(
                400,
                self.problem(
                    400,
                    "Invalid Request",
                    "One or more parameters to your request was invalid.",
                    errors=[error],
                ),
            )
        return int(start)

    def renew(self, call):
        given = self.check(call, call.form, ("grant_type", "refresh_token", "client_id"))
        basic = base64.b64encode(b"client:s").decode()
        self.wants(
            call, call.headers.get("authorization") == f"Basic {basic}", "a confidential client names itself"
        )
        if given["refresh_token"] != self.refresh:
            self.violations.append("a refresh token was used twice")
            words = "Value passed for the token was invalid."
            raise feeds.Refused(400, {"error": "invalid_request", "error_description": words})
        self.token, self.refresh = f"access-{secrets.token_hex(8)}", f"refresh-{secrets.token_hex(8)}"
        answer = {
            "token_type": "bearer",
            "expires_in": 7200,
            "access_token": self.token,
            "refresh_token": self.refresh,
        }
        return 200, answer | {"scope": "dm.read tweet.read users.read offline.access"}

    def limits(self):
        end = int(time.time()) + 3
        headers = {"x-rate-limit-limit": "15", "x-rate-limit-remaining": "0", "x-rate-limit-reset": str(end)}
        body = self.problem(429, "Too Many Requests", "Too Many Requests")
        return [("x-rate-limit-reset", end - time.time(), (429, body, headers))]

    def spent(self):
        _, seconds, (_, _, headers) = self.limits()[0]
        return seconds, headers

    def expire(self):
        with self.lock:
            self.epoch += 1
        return True

    def expire_token(self):
        with self.lock:
            self.token = "another"
