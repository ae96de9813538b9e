"""WhatsApp Cloud API: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages."""

import time

import httpx
import pywa

from contracts.base import ANY, BOOLEAN, Limit, Made, STRING, obj, one_of, parts_of, string
from contracts.meta import Graph, graph_error

PHONE = "106540352242922"
MEDIA = {"image/jpeg": 5 << 20, "image/png": 5 << 20}
CONTEXT = obj({"message_id": string(pattern=r"^wamid\.")})
ENVELOPE = {"messaging_product": one_of("whatsapp")}
NUMBER = string(pattern=r"^\+?\d{5,16}$")
OPTIONAL = {
    "recipient_type": one_of("individual", "group"),
    "context": CONTEXT,
    "biz_opaque_callback_data": string(512),
}
KINDS = {
    "text": obj({"body": string(4096)}, preview_url=BOOLEAN),
    "image": {
        "oneOf": [obj({"id": STRING}, caption=string(1024)), obj({"link": STRING}, caption=string(1024))]
    },
    "reaction": obj({"message_id": string(pattern=r"^wamid\."), "emoji": string(least=0)}),
    "document": obj({"id": STRING}, caption=string(1024), filename=STRING, link=STRING),
}
READ = obj(
    {"messaging_product": one_of("whatsapp"), "status": one_of("read"), "message_id": STRING},
    typing_indicator=ANY,
)


class WhatsApp(Graph):
    platform = "whatsapp"
    files = "upload"
    place = "16505551234"
    inbound_id = "wamid.IN1"
    has_echo = True
    has_typing = True
    has_receipts = True
    has_steps = True
    longest = "x" * 4096
    recipient = {"to": NUMBER}

    def webhook_credentials(self):
        return {"phoneNumberId": PHONE, "appSecret": self.app_secret}

    def value(self, **more):
        metadata = {"display_phone_number": "15550783881", "phone_number_id": PHONE}
        value = {"messaging_product": "whatsapp", "metadata": metadata} | more
        change = {"field": "messages", "value": value}
        return {
            "object": "whatsapp_business_account",
            "entry": [{"id": "102290129340398", "changes": [change]}],
        }

    def inbound(self, account):
        message = self.sender() | {
            "id": self.inbound_id,
            "timestamp": str(int(time.time())),
            "type": "text",
            "text": {"body": "hello"},
        }
        contact = {"profile": {"name": "Sheena"}} | self.contact()
        return self.signed(self.value(contacts=[contact], messages=[message]))

    def sender(self):
        return {"from": self.place}

    def contact(self):
        return {"wa_id": self.place}

    def echo(self, account, made):
        """Statuses repeat what the sender gave in `biz_opaque_callback_data`."""
        status = {
            "id": made.id,
            "status": "sent",
            "timestamp": str(int(time.time())),
            "recipient_id": self.place,
            "biz_opaque_callback_data": made.call.json["biz_opaque_callback_data"],
        }
        return self.signed(self.value(statuses=[status]))

    def limits(self):
        """Of the Cloud API's error codes. One person may be sent a message every six seconds."""
        return {
            "130429": Limit(
                graph_error(
                    429,
                    130429,
                    "(#130429) Rate limit hit",
                    details="Cloud API message throughput has been reached.",
                ),
                1,
                most=15,
            ),
            "131056": Limit(
                graph_error(
                    400, 131056, "(#131056) (Business Account, Consumer Account) pair rate limit hit"
                ),
                6,
            ),
            "80007-usage": Limit(
                graph_error(400, 80007, "(#80007) There have been too many calls.", Retry_After="2"), 2
            ),
            "4": Limit(graph_error(400, 4, "(#4) Application request limit reached", Retry_After="2"), 2),
        }

    def refusal(self):
        words = "Message failed to send because the message is undeliverable"
        return graph_error(400, 131026, "(#131026) Message undeliverable", details=words), "undeliverable"

    def broken(self):
        return graph_error(500, 131000, "(#131000) Something went wrong", details="Something went wrong")

    def route(self, call):
        self.authorise(call)
        rest = self.version(call)
        unknown = graph_error(400, 100, "Unsupported post request.", subcode=33)
        self.require(call.method == "POST" and rest[0] == PHONE and len(rest) == 2, unknown, call.path)
        self.require(rest[1] in ("messages", "media"), unknown, call.path)
        return getattr(self, rest[1])(call)

    def media(self, call):
        parts = parts_of(call)
        bad = self.invalid("file")
        self.require(set(parts) == {"messaging_product", "file", "type"}, bad, f"parts {sorted(parts)}")
        [file], [kind] = parts["file"], parts["type"]
        self.require(parts["messaging_product"][0].text == "whatsapp", bad, "messaging_product")
        self.require(
            kind.text in MEDIA and kind.text == file.type and file.filename, bad, f"{kind.text} {file.type}"
        )
        self.step(call)
        self.uploads = getattr(self, "uploads", {}) | {"10001": file}
        return 200, {"id": "10001"}

    def messages(self, call):
        body = call.json
        if "status" in body:
            self.checked(call, READ, self.invalid)
            self.require(body["message_id"] == self.inbound_id, self.invalid("message_id"), body)
            if "typing_indicator" in body:
                self.require(body["typing_indicator"] == {"type": "text"}, self.invalid("typing"), body)
                self.typed.append(True)
            else:
                self.seen.append(body["message_id"])
            return 200, {"success": True}
        kind = body.get("type", "text")
        self.require(kind in KINDS, self.invalid("type"), f"type {kind}")
        self.checked(
            call,
            obj(ENVELOPE | self.recipient | {kind: KINDS[kind]}, type=one_of(kind), **OPTIONAL),
            self.invalid,
        )
        [name] = self.recipient
        self.require(body[name] == self.place, self.invalid(name), body[name])
        content = body[kind]
        if kind == "reaction":
            self.require(content["message_id"] == self.inbound_id, self.invalid("message_id"), content)
            self.reactions.append(
                (content["message_id"], content["emoji"] or self.emoji, bool(content["emoji"]))
            )
            return 200, self.accepted("wamid.REACTION")
        reply = body.get("context", {}).get("message_id")

        def make(number):
            made = Made(f"wamid.OUT{number}", self.place, content.get("body", content.get("caption")), reply)
            if kind != "text":
                file = self.uploads[content["id"]]
                made.files = [(file.filename, file.content)]
            return made, (200, self.accepted(made.id))

        return self.create(call, make)

    def accepted(self, identifier):
        return {
            "messaging_product": "whatsapp",
            "contacts": [{"input": self.place, "wa_id": self.place}],
            "messages": [{"id": identifier}],
        }

    def client(self):
        """pywa knows one host: its calls are led here."""
        port = int(self.url.rsplit(":", 1)[1])

        class Here(httpx.HTTPTransport):
            def handle_request(self, request):
                request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)
                return super().handle_request(request)

        library = pywa.WhatsApp(phone_id=PHONE, token=self.token, session=httpx.Client(transport=Here()))
        return library.send_message(to=self.place, text="by pywa").id


class WhatsAppUser(WhatsApp):
    """Who hides the number is written to by a business-scoped id, in another member."""

    only = frozenset({"text", "reply", "reaction", "receipt"})
    place = "US.13491208655302741918"
    recipient = {"recipient": string(pattern=r"^[A-Z]{2}\.")}

    def sender(self):
        return {"from_user_id": self.place}

    def contact(self):
        return {"user_id": self.place}
