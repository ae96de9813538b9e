"""Meta's conversations of a page: newest first, each with its last twenty messages, by cursors."""

import base64
import re
import time
from datetime import datetime, timezone

import feeds

DETAILED = 20


def moment(at):
    return datetime.fromtimestamp(int(at), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")


class Feed(feeds.Feed):
    is_swept = True
    patience = 60
    platform = "messenger"
    # A list of messages tells neither edits nor reactions, and the platform deletes nothing for both.
    places = 60
    before = 130
    burst = 130
    seconds_only = True
    kind = "page"

    def __init__(self):
        super().__init__()
        self.page = str(102_030_405_060_000 + self.number)
        self.owner = self.page
        self.messages = {}
        self.count = 0
        self.epoch = 0

    def credentials(self):
        shared = {
            "appSecret": f"app-secret-{self.number}",
            "accessToken": self.token,
            "apiURL": self.server.url,
        }
        return shared | {"pageId": self.page}

    def say(self, text, at=None, place=0, own=False):
        with self.lock:
            self.count += 1
            person = {"name": f"Person {place}", "email": f"{place}@facebook.com", "id": str(7_000 + place)}
            page = {"name": "Page", "email": "page@facebook.com", "id": self.page}
            sender, other = (page, person) if own else (person, page)
            message = {
                "id": f"m_{self.number}_{self.count}",
                "created_time": moment(at if at is not None else time.time()),
                "from": sender,
                "to": {"data": [other]},
                "message": text,
            }
            self.messages.setdefault(place, []).append(message)
            return message

    def webhook(self, message):
        at = datetime.strptime(message["created_time"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        event = {
            "sender": {"id": message["from"]["id"]},
            "recipient": {"id": self.page},
            "timestamp": int(at * 1000),
        }
        event["message"] = {"mid": message["id"], "text": message["message"]}
        return {
            "object": self.kind,
            "entry": [{"id": self.page, "time": int(at * 1000), "messaging": [event]}],
        }

    def error(self, status, code, words, headers=None, **more):
        body = {"message": words, "type": "OAuthException", "code": code, "fbtrace_id": "A1"} | more
        return feeds.Refused(status, {"error": body}, headers)

    def authorise(self, call):
        if self.revoked or call.headers.get("authorization") != f"Bearer {self.token}":
            words = "Error validating access token: The session has been invalidated."
            raise self.error(401, 190, words, error_subcode=460)

    def route(self, call):
        self.wants(call, call.method == "GET", "only reading is expected")
        match = re.fullmatch(r"/v\d+\.0/(\w+)/conversations", call.path)
        if not match or match[1] not in (self.owner, "me"):
            self.unknown(call)
        given = self.check(
            call, call.query, ("platform",), ("fields", "limit", "after", "before", "folder", "user_id")
        )
        self.wants(call, given["platform"] == self.platform, "another platform's conversations")
        limit = self.whole(call, given, "limit", 25, 1, 500)
        fields = re.fullmatch(
            r"id,updated_time,messages\.limit\((\d+)\)\{([a-z_,]+)\}", given.get("fields", "")
        )
        self.wants(call, fields, f"the fields {given.get('fields')} are not read here")
        wanted = set(fields[2].split(","))
        known = {"id", "created_time", "from", "to", "message", "attachments", "sticker", "shares", "tags"}
        self.wants(call, wanted <= known, f"messages have no {wanted - known}")
        start = self.start(call, given)
        found = sorted(
            self.messages.items(), key=lambda one: max(m["created_time"] for m in one[1]), reverse=True
        )
        part = [
            self.conversation(place, messages, min(int(fields[1]), DETAILED), wanted)
            for place, messages in found[start : start + limit]
        ]
        cursors = {"before": self.cursor(start), "after": self.cursor(start + len(part))}
        answer = {"data": part}
        if part:
            answer["paging"] = {"cursors": cursors}
            if start + limit < len(found):
                answer["paging"]["next"] = f"{self.server.url}{call.path}?after={cursors['after']}"
        return 200, answer, {"X-App-Usage": '{"call_count":1,"total_cputime":1,"total_time":1}'}

    def conversation(self, place, messages, limit, wanted):
        newest = sorted(
            messages, key=lambda one: (one["created_time"], int(one["id"].rsplit("_", 1)[1])), reverse=True
        )
        part = [{key: value for key, value in one.items() if key in wanted} for one in newest[:limit]]
        return {"id": f"t_{place}", "updated_time": newest[0]["created_time"], "messages": {"data": part}}

    def cursor(self, start):
        return base64.b64encode(f"{self.epoch}:{start}".encode()).decode()

    def start(self, call, given):
        if "after" not in given:
            return 0
        epoch, start = base64.b64decode(given["after"]).decode().split(":")
        if int(epoch) != self.epoch:
            raise self.error(400, 100, "(#100) Invalid cursors values", error_subcode=2_018_065)
        return int(start)

    def limits(self):
        """Meta says minutes, or nothing. Each of these means a minute, which a test does not wait for."""
        usage = (
            '{"%s":[{"type":"messenger","call_count":100,"estimated_time_to_regain_access":1}]}' % self.page
        )
        told = {"X-Business-Use-Case-Usage": usage}

        def body(code, words):
            return {"error": {"message": words, "type": "OAuthException", "code": code, "fbtrace_id": "A1"}}

        return [
            (
                "business use case",
                60,
                (
                    400,
                    body(80_006, "(#80006) There have been too many calls to this Messenger account"),
                    told,
                ),
            ),
            ("of the app", 60, (403, body(4, "(#4) Application request limit reached"))),
            ("of the page", 60, (400, body(32, "(#32) Page request limit reached"))),
            ("of the user", 60, (400, body(17, "(#17) User request limit reached"))),
            ("calls", 60, (400, body(613, "(#613) Calls to this api have exceeded the rate limit."))),
        ]

    def expire(self):
        with self.lock:
            self.epoch += 1
        return True
