"""Rocket.Chat's REST API: https://developer.rocket.chat/apidocs; bodies as its rest-typings have them."""

import secrets
import time
from datetime import datetime, timezone
from email.utils import formatdate

from rocketchat_API.rocketchat import RocketChat as Library

from contracts.base import ANY, BOOLEAN, Contract, Limit, Made, array, compact, obj, parts_of, string

ROOM = "GENERAL"
INBOUND = "m1abcdefghijklmno"
MESSAGE = obj(
    {"rid": string()},
    _id=string(),
    tmid=string(),
    msg=string(least=0),
    alias=string(),
    emoji=string(),
    tshow=BOOLEAN,
    avatar=string(),
    attachments=array(ANY, least=0),
    blocks=ANY,
    customFields=ANY,
)
BODIES = {
    "chat.sendMessage": obj({"message": MESSAGE}, previewUrls=array(string())),
    "chat.postMessage": obj(
        {"roomId": string()}, text=string(), alias=ANY, emoji=ANY, avatar=ANY, attachments=ANY, tmid=string()
    ),
    "chat.update": obj(
        {"roomId": string(), "msgId": string(), "text": string()}, previewUrls=ANY, customFields=ANY
    ),
    "chat.delete": obj({"msgId": string(), "roomId": string()}, asUser=BOOLEAN),
    "chat.react": obj({"emoji": string(), "messageId": string()}, shouldReact=BOOLEAN),
}


class RocketChat(Contract):
    platform = "rocketchat"
    does_once = True
    can_be_asked = True
    has_reply_steps = True
    files = "upload"
    has_steps = True
    place = ROOM
    inbound_id = INBOUND

    def __init__(self):
        super().__init__()
        self.hook = secrets.token_hex(12)
        self.token = secrets.token_urlsafe(32)
        self.uploads = {}

    def webhook_credentials(self):
        return {"token": self.hook}

    def sending_credentials(self):
        return {"accessToken": self.token, "userId": "hubuser", "server": self.url}

    def inbound(self, account):
        body = compact(
            {
                "token": self.hook,
                "bot": False,
                "channel_id": ROOM,
                "channel_name": "general",
                "message_id": INBOUND,
                "timestamp": datetime.now(timezone.utc).isoformat(),
                "user_id": "u1",
                "user_name": "ana",
                "text": "hello",
                "siteUrl": "https://chat.example.com",
            }
        )
        return {"Content-Type": "application/json"}, body

    @staticmethod
    def error(status, words, **more):
        return status, {"success": False, "error": words} | more

    def limits(self):
        """https://developer.rocket.chat/apidocs/rate-limiting: a sentence with the seconds, and headers."""
        words = "Error, too many requests. Please slow down. "
        words += "You must wait 2 seconds before trying this endpoint again. "
        status, body = self.error(
            400, f"{words}[error-too-many-requests]", errorType="error-too-many-requests"
        )
        end = int(time.time() * 1000) + 5000
        headers = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(end)}
        return {
            "words": Limit((status, body), 2),
            "429": Limit((429, body, headers), 2, most=10),
            "date": Limit((429, b"", {"Retry-After": formatdate(time.time() + 5, usegmt=True)}), 2, most=9),
        }

    def refusal(self):
        return self.error(400, "[error-not-allowed]", errorType="error-not-allowed"), "error-not-allowed"

    def broken(self):
        return 500, {"success": False, "error": "Internal server error"}

    def unauthorised(self):
        return 401, {"status": "error", "message": "You must be logged in to do this."}

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = (call.headers.get("x-auth-token"), call.headers.get("x-user-id"))
        self.require(given == (self.token, "hubuser"), self.unauthorised(), given)
        path = call.path.removeprefix("/api/v1/")
        if (call.method, path) == ("GET", "chat.getMessage"):
            return self.get(call)
        if path.startswith(("rooms.media/", "rooms.mediaConfirm/")) and call.method == "POST":
            return self.media(call, path.split("/"))
        missing = (404, {"success": False, "error": "API endpoint not found"})
        self.require(call.method == "POST" and path in BODIES, missing, f"{call.method} {path}")
        body = self.checked(call, BODIES[path], lambda words: self.error(400, f"{words} [invalid-params]"))
        return getattr(self, path.replace(".", "_"))(call, body)

    def message(self, identifier, text, **more):
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "_id": identifier,
            "rid": ROOM,
            "msg": text,
            "ts": stamp,
            "_updatedAt": stamp,
            "u": {"_id": "hubuser", "username": "hub", "name": "Hub"},
            "mentions": [],
            "channels": [],
            "md": [],
        } | more

    def get(self, call):
        identifier = call.query.get("msgId")
        if identifier == INBOUND:
            self.step(call)
            return 200, {"success": True, "message": self.message(INBOUND, "hello")}
        made = next((made for made in self.made if made.id == identifier), None)
        if made is None:
            return 400, {"success": False}
        return 200, {"success": True, "message": self.message(made.id, made.text)}

    def chat_sendMessage(self, call, body):
        message = body["message"]
        self.require(message["rid"] == ROOM, self.error(400, "[error-invalid-room]"), message)
        self.require(
            message.get("tmid") in (None, INBOUND), self.error(400, "[error-invalid-message]"), message
        )

        def make(number):
            identifier = message.get("_id") or f"made{number}"
            made = Made(identifier, ROOM, message.get("msg"), message.get("tmid"))
            return made, (200, {"success": True, "message": self.message(identifier, message.get("msg"))})

        # A message whose id is there already is not made, and the answer does not say why.
        words = "Cannot read properties of undefined (reading 'u')"
        return self.create(call, make, message.get("_id"), lambda before: self.error(400, words))

    def chat_postMessage(self, call, body):
        self.require(body["roomId"] == ROOM, self.error(400, "[invalid-channel]"), body)

        def make(number):
            made = Made(f"made{number}", ROOM, body.get("text"), body.get("tmid"))
            return made, (
                200,
                {
                    "success": True,
                    "ts": 1,
                    "channel": "general",
                    "message": self.message(made.id, body.get("text")),
                },
            )

        return self.create(call, make)

    def known(self, identifier):
        ids = {made.id for made in self.made} | {INBOUND}
        words = 'No message found with the id of "x".'
        self.require(identifier in ids, self.error(400, words), identifier)
        return identifier

    def chat_update(self, call, body):
        self.require(body["roomId"] == ROOM, self.error(400, "room"), body)
        self.edits.append((self.known(body["msgId"]), body["text"]))
        return 200, {"success": True, "message": self.message(body["msgId"], body["text"])}

    def chat_delete(self, call, body):
        self.deleted.append(self.known(body["msgId"]))
        return 200, {
            "success": True,
            "_id": body["msgId"],
            "ts": 1,
            "message": self.message(body["msgId"], ""),
        }

    def chat_react(self, call, body):
        self.require(body["emoji"] in (":+1:", ":thumbsup:"), self.error(400, "[error-not-allowed]"), body)
        self.reactions.append((self.known(body["messageId"]), "👍", body.get("shouldReact", True)))
        return 200, {"success": True}

    def media(self, call, parts):
        """Uploading in two steps: nothing is seen before it is confirmed."""
        self.require(parts[1] == ROOM, self.error(403, "unauthorized"), parts)
        if parts[0] == "rooms.media":
            form = parts_of(call)
            self.require(set(form) == {"file"}, self.error(400, "[invalid-field]"), sorted(form))
            self.step(call)
            identifier = f"file{len(self.uploads)}"
            [file] = form["file"]
            self.uploads[identifier] = (file.filename, file.content)
            return 200, {
                "success": True,
                "file": {"_id": identifier, "url": f"/file-upload/{identifier}/{file.filename}"},
            }
        self.require(parts[2] in self.uploads, self.error(400, "invalid-file"), parts)
        schema = obj(
            msg=string(least=0),
            tmid=string(),
            description=string(),
            groupable=BOOLEAN,
            alias=ANY,
            avatar=ANY,
            emoji=ANY,
            t=ANY,
            content=ANY,
            fileName=string(),
            customFields=ANY,
        )
        body = self.checked(call, schema, lambda words: self.error(400, f"{words} [invalid-params]"))

        def make(number):
            made = Made(f"made{number}", ROOM, body.get("msg"), body.get("tmid"), [self.uploads[parts[2]]])
            return made, (200, {"success": True, "message": self.message(made.id, body.get("msg", ""))})

        return self.create(call, make)

    def client(self):
        library = Library(auth_token=self.token, user_id="hubuser", server_url=self.url)
        answer = library.chat_send_message({"rid": ROOM, "msg": "by rocketchat_API"})
        return (answer if isinstance(answer, dict) else answer.json())["message"]["_id"]
