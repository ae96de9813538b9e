"""Mattermost's API, version 4: https://developers.mattermost.com/api-documentation/."""

import secrets
import time

from mattermostdriver import Driver

from contracts.base import ANY, Contract, Limit, Made, array, compact, obj, parts_of, string

CHANNEL = "4xp9fdt77pncbef59f4k1qe83o"
ME = "me1abc9fdt77pncbef59f4k1qe"
INBOUND = "in1p9fdt77pncbef59f4k1qe83"
POST = obj(
    {"channel_id": string()},
    message=string(16_383, 0),
    root_id=string(),
    file_ids=array(string(), 10),
    props=ANY,
    pending_post_id=string(),
    metadata=ANY,
)


class Mattermost(Contract):
    platform = "mattermost"
    has_reply_steps = True
    files = "upload"
    has_albums = True
    has_steps = True
    has_typing = True
    place = CHANNEL
    inbound_id = INBOUND
    longest = "x" * 16_383

    NAMES = {"+1": "👍", "thumbsup": "👍"}

    def __init__(self):
        super().__init__()
        self.hook = secrets.token_hex(13)
        self.token = secrets.token_hex(13)
        self.uploads = {}

    def webhook_credentials(self):
        return {"token": self.hook}

    def sending_credentials(self):
        return {"accessToken": self.token, "server": self.url}

    def inbound(self, account):
        body = compact(
            {
                "token": self.hook,
                "team_id": "t1",
                "team_domain": "acme",
                "channel_id": CHANNEL,
                "channel_name": "support",
                "timestamp": int(time.time() * 1000),
                "user_id": "u1abc",
                "user_name": "ana",
                "post_id": INBOUND,
                "text": "hello",
                "trigger_word": "hello",
                "file_ids": "",
            }
        )
        return {"Content-Type": "application/json"}, body

    @staticmethod
    def error(status, identifier, words, **headers):
        body = {
            "id": identifier,
            "message": words,
            "detailed_error": "",
            "request_id": "r",
            "status_code": status,
        }
        return status, body, headers

    def limits(self):
        """https://developers.mattermost.com/api-documentation/#/#rate-limiting: seconds until it is over."""
        headers = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "Content-Type": "text/plain"}
        return {
            "reset": Limit((429, b"limit exceeded\n", headers | {"X-RateLimit-Reset": "2"}), 2),
            "retry-after": Limit(
                (429, b"limit exceeded\n", headers | {"X-RateLimit-Reset": "2", "Retry-After": "2"}), 2
            ),
        }

    def refusal(self):
        words = "You do not have the appropriate permissions."
        return self.error(403, "api.context.permissions.app_error", words), "permissions"

    def broken(self):
        return self.error(500, "app.post.save.app_error", "Unable to save the Post.")

    def unauthorised(self):
        return self.error(
            401, "api.context.session_expired.app_error", "Invalid or expired session, please login again."
        )

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"Bearer {self.token}", self.unauthorised(), f"Authorization {given}")
        path = call.path.removeprefix("/api/v4/")
        if (call.method, path) == ("GET", "users/me"):
            return 200, {"id": ME, "username": "hub", "create_at": 1, "update_at": 1, "delete_at": 0}
        if (call.method, path) == ("POST", "posts"):
            return self.post(call)
        if (call.method, path) == ("POST", "files"):
            return self.file(call)
        if (call.method, path) == ("POST", "reactions"):
            return self.react(call)
        parts = path.split("/")
        if call.method == "POST" and parts[0] == "users" and parts[2:] == ["typing"]:
            self.checked(call, obj({"channel_id": string()}, parent_id=string()), self.invalid)
            self.typed.append(True)
            return 200, {"status": "OK"}
        if parts[0] == "posts" and len(parts) >= 2:
            return self.known(call, parts)
        missing = self.error(404, "api.context.404.app_error", "Sorry, we could not find the page.")
        self.require(
            call.method == "DELETE"
            and parts[:3] in (["users", "me", "posts"], ["users", ME, "posts"])
            and parts[4] == "reactions"
            and len(parts) == 6,
            missing,
            f"{call.method} {path}",
        )
        name = parts[5].replace("%2B", "+")
        self.require(name in self.NAMES, self.invalid("emoji_name"), name)
        self.reactions.append((parts[3], self.NAMES[name], False))
        return 200, {"status": "OK"}

    def invalid(self, words):
        return self.error(
            400, "api.context.invalid_body_param.app_error", f"Invalid or missing {words} in request body."
        )

    def document(self, identifier, text, **more):
        stamp = int(time.time() * 1000)
        return {
            "id": identifier,
            "create_at": stamp,
            "update_at": stamp,
            "edit_at": 0,
            "delete_at": 0,
            "is_pinned": False,
            "user_id": ME,
            "channel_id": CHANNEL,
            "root_id": "",
            "original_id": "",
            "message": text,
            "type": "",
            "props": {},
            "hashtags": "",
            "pending_post_id": "",
            "reply_count": 0,
            "metadata": {},
        } | more

    def known(self, call, parts):
        identifier, rest = parts[1], parts[2:]
        gone = self.error(404, "app.post.get.app_error", "Unable to get the post.")
        self.require(identifier in {made.id for made in self.made} | {INBOUND}, gone, identifier)
        if call.method == "GET" and not rest:
            self.step(call)
            return 200, self.document(identifier, "hello")
        if call.method == "DELETE" and not rest:
            self.deleted.append(identifier)
            return 200, {"status": "OK"}
        self.require(call.method == "PUT" and rest == ["patch"], gone, f"{call.method} {call.path}")
        body = self.checked(
            call,
            obj(message=string(16_383, 0), file_ids=ANY, props=ANY, is_pinned=ANY, has_reactions=ANY),
            self.invalid,
        )
        self.edits.append((identifier, body["message"]))
        return 200, self.document(identifier, body["message"], edit_at=1)

    def post(self, call):
        body = self.checked(call, POST, self.invalid)
        self.require(body["channel_id"] == CHANNEL, self.invalid("channel_id"), body["channel_id"])
        self.require(body.get("message") or body.get("file_ids"), self.invalid("message"), "empty")
        root = body.get("root_id") or None
        self.require(
            root in (None, INBOUND), self.error(400, "api.post.create_post.root_id.app_error", "root"), root
        )
        for one in body.get("file_ids", []):
            self.require(one in self.uploads, self.invalid("file_ids"), one)
        files = [self.uploads[one] for one in body.get("file_ids", [])]

        def make(number):
            made = Made(f"out{number}p9fdt77pncbef59f4k1q", CHANNEL, body.get("message"), root, files)
            more = {name: body[name] for name in ("props", "pending_post_id", "file_ids") if name in body}
            return made, (201, self.document(made.id, body["message"], root_id=root or "", **more))

        return self.create(call, make)

    def file(self, call):
        parts = parts_of(call)
        self.require(set(parts) <= {"files", "channel_id", "client_ids"}, self.invalid("form"), sorted(parts))
        self.require(parts["channel_id"][0].text == CHANNEL, self.invalid("channel_id"), "channel_id")
        self.step(call)
        infos = []
        for part in parts["files"]:
            identifier = f"file{len(self.uploads)}"
            self.uploads[identifier] = (part.filename, part.content)
            infos.append(
                {"id": identifier, "name": part.filename, "size": len(part.content), "mime_type": part.type}
            )
        return 201, {"file_infos": infos, "client_ids": []}

    def react(self, call):
        schema = obj({"user_id": string(), "post_id": string(), "emoji_name": string(64)}, create_at=ANY)
        body = self.checked(call, schema, self.invalid)
        self.require(body["user_id"] == ME, self.error(403, "permissions", "user"), body)
        self.require(body["emoji_name"] in self.NAMES, self.invalid("emoji_name"), body)
        self.reactions.append((body["post_id"], self.NAMES[body["emoji_name"]], True))
        return 201, body | {"create_at": int(time.time() * 1000)}

    def client(self):
        port = int(self.url.rsplit(":", 1)[1])
        driver = Driver({"url": "127.0.0.1", "port": port, "scheme": "http", "token": self.token})
        driver.client.token = self.token
        return driver.posts.create_post({"channel_id": CHANNEL, "message": "by mattermostdriver"})["id"]
