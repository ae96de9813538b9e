"""LinkedIn's organizationalEntityNotifications: those of 60 days by offset, newest first, with versions."""

import re
import secrets
import time

import feeds

ORGANIZATION = "urn:li:organization:2414183"
ACTIONS = {"COMMENT", "COMMENT_EDIT", "COMMENT_DELETE", "ADMIN_COMMENT", "SHARE", "SHARE_MENTION", "LIKE"}


class Feed(feeds.Feed):
    is_swept = True
    platform = "linkedin"
    sample = "comment"
    has_refresh = True
    places = 1
    before = 130
    burst = 130

    def __init__(self):
        super().__init__()
        self.notifications = []
        self.count = 0
        self.last = 0
        self.rotates = False
        self.refresh = f"refresh-{self.token}"

    def credentials(self):
        shared = {"clientSecret": f"client-secret-{self.number}", "organization": ORGANIZATION}
        shared |= {"apiURL": self.server.url}
        if self.rotates:
            return shared | {"refreshToken": self.refresh, "clientId": "client"}
        return shared | {"accessToken": self.token}

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            # Milliseconds that no two share, so that their order is known.
            self.last = at = max(self.last + 0.001, at if at is not None else time.time())
            number = self.number * 100_000 + self.count
            notification = {
                "notificationId": number,
                "organizationalEntity": ORGANIZATION,
                "action": "ADMIN_COMMENT" if own else "COMMENT",
                "sourcePost": "urn:li:share:7",
                "generatedActivity": f"urn:li:comment:(urn:li:activity:7,{number})",
                "decoratedGeneratedActivity": {"comment": {"owner": "urn:li:person:p1", "text": text}},
                "lastModifiedAt": int(at * 1000),
                "subscriber": "urn:li:person:admin",
            }
            self.notifications.append(notification)
            return notification

    def name(self, message, text):
        return str(message["notificationId"])

    def read(self, message):
        return message["externalId"]

    def webhook(self, message):
        return {"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": [message]}

    def authorise(self, call):
        if call.path == "/oauth/v2/accessToken":
            return
        words = {
            "status": 401,
            "serviceErrorCode": 65600,
            "code": "INVALID_ACCESS_TOKEN",
            "message": "Invalid access token",
        }
        if self.revoked:
            words |= {"serviceErrorCode": 65601, "code": "REVOKED_ACCESS_TOKEN"}
            words["message"] = "The token used in the request has been revoked by the user"
        if self.revoked or call.headers.get("authorization") != f"Bearer {self.token}":
            raise feeds.Refused(401, words)

    def route(self, call):
        if call.path == "/oauth/v2/accessToken":
            return self.renew(call)
        if call.path != "/rest/organizationalEntityNotifications" or call.method != "GET":
            self.unknown(call)
        self.wants(
            call,
            re.fullmatch(r"20\d\d(0[1-9]|1[0-2])", call.headers.get("linkedin-version", "")),
            "no LinkedIn-Version",
        )
        self.wants(
            call, call.headers.get("x-restli-protocol-version") == "2.0.0", "lists are of protocol 2.0.0"
        )
        given = self.check(
            call, call.query, ("q", "actions", "organizationalEntity"), ("timeRange", "start", "count")
        )
        self.wants(call, given["q"] == "criteria", "no such finder")
        self.wants(call, given["organizationalEntity"] == ORGANIZATION, "another organization")
        actions = re.fullmatch(r"List\((.*)\)", given["actions"])
        self.wants(call, actions and set(actions[1].split(",")) <= ACTIONS, "not a list of actions")
        bounds = re.fullmatch(
            r"\(start:(\d+),end:(\d+)\)", given.get("timeRange", "(start:0,end:9999999999999)")
        )
        self.wants(call, bounds and int(bounds[1]) <= int(bounds[2]), "not a time range")
        count = self.whole(call, given, "count", 10, 1, 100)
        start = self.whole(call, given, "start", 0, 0, 1_000_000)
        least = max(int(bounds[1]), (time.time() - 60 * feeds.DAY) * 1000)
        found = [n for n in self.notifications if least <= n["lastModifiedAt"] <= int(bounds[2])]
        found = [n for n in found if n["action"] in actions[1].split(",")]
        found.sort(key=lambda one: one["lastModifiedAt"], reverse=True)
        part = found[start : start + count]
        return 200, {
            "elements": part,
            "paging": {"count": count, "start": start, "links": [], "total": len(found)},
        }

    def renew(self, call):
        given = self.check(call, call.form, ("grant_type", "refresh_token", "client_id", "client_secret"))
        if self.revoked or given["refresh_token"] != self.refresh:
            words = "The provided authorization grant or refresh token is invalid, expired or revoked."
            raise feeds.Refused(400, {"error": "invalid_grant", "error_description": words})
        self.token = f"access-{secrets.token_hex(8)}"
        answer = {"access_token": self.token, "expires_in": 5_184_000, "refresh_token": self.refresh}
        return 200, answer | {"refresh_token_expires_in": 31_536_000, "scope": "rw_organization_admin"}

    def limits(self):
        body = {"status": 429, "serviceErrorCode": 101, "code": "TOO_MANY_REQUESTS"}
        body["message"] = (
            "Resource level throttle APPLICATION DAY limit for calls to this resource is reached."
        )
        return [
            ("with Retry-After", 2, (429, body, {"Retry-After": "2"})),
            ("of the day", 3_600, (429, body)),
        ]

    def expire_token(self):
        with self.lock:
            self.token = "another"
