"""Your own system: Webhooks/custom/README.md, signed as https://www.standardwebhooks.com says."""

import base64
import secrets
import time
from datetime import datetime, timezone
from email.utils import formatdate

from standardwebhooks import Webhook, WebhookVerificationError

from contracts.base import (
    ANY,
    BOOLEAN,
    Contract,
    INTEGER,
    Limit,
    Made,
    array,
    compact,
    fault_of,
    obj,
    one_of,
    string,
)

FILE = obj({"kind": string(), "name": string(), "mimeType": string(), "size": INTEGER, "url": string()})
BODIES = {
    "message": obj(
        {"kind": string()},
        text=string(),
        replyTo=string(),
        threadId=string(),
        platform=ANY,
        attachments=array(FILE),
    ),
    "message.edited": obj({"id": string(), "text": string()}),
    "message.deleted": obj({"id": string()}),
    "reaction": obj({"id": string()}),
    "read": obj({"id": string()}),
}


class Custom(Contract):
    platform = "custom"
    does_once = True
    # A 2xx is a yes, whatever it says.
    cannot = frozenset({"garbled"})
    has_typing = True
    has_receipts = True
    files = "url"
    has_albums = True
    place = "c1"
    inbound_id = "m1"

    def __init__(self):
        super().__init__()
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

    def webhook_credentials(self):
        return {"webhookSecret": self.secret}

    def sending_credentials(self):
        return {"sendURL": f"{self.url}/in"}

    def inbound(self, account):
        now = datetime.now(timezone.utc)
        body = compact(
            {
                "type": "message",
                "conversation": {"id": "c1", "kind": "direct", "title": "Zoë"},
                "message": {
                    "id": "m1",
                    "text": "hello",
                    "sentAt": now.isoformat(),
                    "sender": {"id": "v1", "name": "Zoë"},
                },
            }
        )
        identifier = "msg_" + secrets.token_hex(8)
        return {
            "Content-Type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(identifier, now, body.decode()),
        }, body

    def limits(self):
        return {
            "seconds": Limit((429, {"error": "slow down"}, {"Retry-After": "2"}), 2),
            # RFC 9110: a date has whole seconds.
            "date": Limit((429, b"", {"Retry-After": formatdate(time.time() + 6, usegmt=True)}), 2, most=10),
            "bare": Limit((429, b""), 0.5, most=15),
        }

    def refusal(self):
        return (422, {"error": "the order is closed"}), "the order is closed"

    def unauthorised(self):
        return 401, {"error": "the signature is wrong"}

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        self.require((call.method, call.path) == ("POST", "/in"), (404, {}), call.path)
        try:
            body = Webhook(self.secret).verify(call.body, call.headers)
        except WebhookVerificationError as error:
            self.require(False, self.unauthorised(), str(error))
        kind = body.get("type")
        self.require(kind in BODIES or kind == "typing", (400, {"error": "type"}), kind)
        required = {"type": one_of(kind), "conversation": obj({"id": one_of("c1"), "kind": one_of("direct")})}
        if kind == "typing":
            required["isTyping"] = BOOLEAN
        else:
            required["message"] = BODIES[kind]
        if kind == "reaction":
            required["reaction"] = obj({"emoji": string(), "action": one_of("add", "remove")})
        wrong = fault_of(obj(required), body)
        self.require(wrong is None, (400, {"error": str(wrong)}), f"{wrong} in {body}")
        methods = {"message.edited": self.edited, "message.deleted": self.removed, "read": self.read}
        return methods.get(kind, getattr(self, kind, None))(call, body)

    def message(self, call, body):
        message = body["message"]
        files = [(one["name"], one["url"]) for one in message.get("attachments", [])]

        def make(number):
            made = Made(f"out{number}", "c1", message.get("text"), message.get("replyTo"), files)
            return made, (200, {"messageId": made.id})

        return self.create(call, make, call.headers["webhook-id"], lambda before: before[1])

    def edited(self, call, body):
        self.edits.append((body["message"]["id"], body["message"]["text"]))
        return 204, b""

    def removed(self, call, body):
        self.deleted.append(body["message"]["id"])
        return 204, b""

    def typing(self, call, body):
        self.typed.append(body["isTyping"])
        return 204, b""

    def read(self, call, body):
        self.seen.append(body["message"]["id"])
        return 204, b""

    def reaction(self, call, body):
        self.reactions.append(
            (body["message"]["id"], body["reaction"]["emoji"], body["reaction"]["action"] == "add")
        )
        return 204, b""
