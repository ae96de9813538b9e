"""Messenger and Instagram: https://developers.facebook.com/docs/messenger-platform/reference/send-api."""

import json
import time

from contracts.base import ANY, BOOLEAN, Limit, Made, STRING, array, obj, one_of, parts_of, string
from contracts.meta import Graph, graph_error

PAGE = "682498302938465"
INSTAGRAM = "17841400000000001"
RECIPIENT = obj({"id": STRING})
REPLY = obj({"mid": STRING})


class Messenger(Graph):
    platform = "messenger"
    files = "upload"
    has_caption = False
    has_echo = True
    has_typing = True
    has_receipts = True
    place = "5544332211"
    inbound_id = "m_IN1"
    longest = "x" * 2000
    object = "page"
    owner = PAGE

    ATTACHMENT = obj({"type": one_of("image", "video", "audio", "file"), "payload": obj(is_reusable=BOOLEAN)})
    MESSAGE = {
        "oneOf": [
            obj({"text": string(2000)}, metadata=string(1000), quick_replies=array(ANY, 13)),
            obj({"attachment": ATTACHMENT}, metadata=string(1000)),
        ]
    }

    def webhook_credentials(self):
        return {"pageId": PAGE, "appSecret": self.app_secret}

    def event(self, **more):
        now = int(time.time() * 1000)
        messaging = {"sender": {"id": self.place}, "recipient": {"id": self.owner}, "timestamp": now} | more
        return self.signed(
            {"object": self.object, "entry": [{"id": self.owner, "time": now, "messaging": [messaging]}]}
        )

    def inbound(self, account):
        return self.event(message={"mid": self.inbound_id, "text": "hello"})

    def echo(self, account, made):
        message = {"is_echo": True, "app_id": 1517776481860111, "mid": made.id, "text": made.text}
        sent = made.call.json["message"]
        if "metadata" in sent:
            message["metadata"] = sent["metadata"]
        return self.event(sender={"id": self.owner}, recipient={"id": self.place}, message=message)

    def limits(self):
        """Codes 4, 17, 32, 613 and 80006, with the headers that Graph gives."""
        return {
            "613": Limit(
                graph_error(
                    400, 613, "(#613) Calls to this api have exceeded the rate limit.", Retry_After="2"
                ),
                2,
            ),
            "32": Limit(graph_error(400, 32, "(#32) Page request limit reached", Retry_After="2"), 2),
            "4": Limit(graph_error(403, 4, "(#4) Application request limit reached", Retry_After="2"), 2),
            "1200": Limit(
                graph_error(500, 1200, "Temporary send message failure. Please try again later."), 0.5
            ),
        }

    def refusal(self):
        words = "(#551) This person isn't available right now."
        return graph_error(400, 551, words, subcode=1545041), "isn't available"

    def route(self, call):
        self.authorise(call)
        rest = self.version(call)
        unknown = graph_error(400, 100, "Unsupported post request.", subcode=33)
        self.require(
            call.method == "POST" and rest in ([self.owner, "messages"], ["me", "messages"]),
            unknown,
            call.path,
        )
        is_form = call.headers["content-type"].startswith("multipart/")
        body, file = self.form(call) if is_form else (call.json, None)
        if "sender_action" in body:
            return self.action(call, body)
        schema = obj(
            {"recipient": RECIPIENT, "message": self.MESSAGE},
            messaging_type=one_of("RESPONSE", "UPDATE"),
            reply_to=REPLY,
        )
        return self.send(call, body, schema, file)

    def send(self, call, body, schema, file):
        from contracts.base import fault_of

        wrong = fault_of(schema, body)
        self.require(wrong is None, self.invalid(wrong), f"{wrong} in {call.body[:600]}")
        self.require(body["recipient"]["id"] == self.place, self.invalid("recipient"), body)
        message = body["message"]
        files = self.attached(message, file) if "attachment" in message else []

        def make(number):
            made = Made(
                f"m_OUT{number}", self.place, message.get("text"), body.get("reply_to", {}).get("mid"), files
            )
            return made, (200, {"recipient_id": self.place, "message_id": made.id})

        return self.create(call, make)

    def attached(self, message, file):
        self.require(file is not None, self.invalid("filedata"), "no file and no URL")
        self.require(
            file.type.split("/")[0] == message["attachment"]["type"], self.invalid("type"), file.type
        )
        return [(file.filename, file.content)]

    def form(self, call):
        """Values are JSON, except the file, which is called `filedata`."""
        parts = parts_of(call)
        [file] = parts.pop("filedata")
        body = {}
        for name, [part] in parts.items():
            try:
                body[name] = json.loads(part.text)
            except ValueError:
                body[name] = part.text
        return body, file

    def action(self, call, body):
        name = body["sender_action"]
        if name in ("react", "unreact"):
            payload = obj({"message_id": STRING} | ({"reaction": STRING} if name == "react" else {}))
            schema = obj({"recipient": RECIPIENT, "sender_action": ANY, "payload": payload})
            self.checked(call, schema, self.invalid)
            self.require(body["payload"]["message_id"] == self.inbound_id, self.invalid("message_id"), body)
            emoji = body["payload"].get("reaction", self.emoji)
            self.reactions.append((self.inbound_id, self.reaction(emoji), name == "react"))
        else:
            self.require(name in ("typing_on", "typing_off", "mark_seen"), self.invalid(name), name)
            self.checked(call, obj({"recipient": RECIPIENT, "sender_action": ANY}), self.invalid)
            if name == "mark_seen":
                self.seen.append(self.inbound_id)
            else:
                self.typed.append(name == "typing_on")
        return 200, {"recipient_id": self.place}

    def reaction(self, emoji):
        return emoji


class Instagram(Messenger):
    """https://developers.facebook.com/docs/messenger-platform/instagram/features/send-message."""

    platform = "instagram"
    files = "url"
    place = "1203344556677"
    # Bytes of UTF-8.
    longest = "é" * 500
    emoji = "❤️"
    object = "instagram"
    owner = INSTAGRAM

    ATTACHMENT = obj({"type": one_of("image", "video", "audio"), "payload": obj({"url": STRING})})
    MESSAGE = {
        "oneOf": [obj({"text": string(1000)}, quick_replies=array(ANY, 13)), obj({"attachment": ATTACHMENT})]
    }

    def webhook_credentials(self):
        return {"instagramAccountId": INSTAGRAM, "appSecret": self.app_secret}

    def attached(self, message, file):
        return [(None, message["attachment"]["payload"]["url"])]

    def reaction(self, emoji):
        self.require(emoji in ("love", self.emoji), self.invalid("reaction"), f"reaction {emoji}")
        return self.emoji
