"""SendGrid's Mail Send, Inbound Parse and events: https://www.twilio.com/docs/sendgrid/api-reference."""

import base64
import json
import secrets
import time

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Header
from sendgrid.helpers.mail import Mail as Letter

from contracts.base import ANY, INTEGER, Limit, STRING, array, compact, fault_of, obj, one_of, string
from contracts.mail import ADDRESS, PERSON, SUBJECT, Mail

PERSON_SCHEMA = obj({"email": string(most=320)}, name=STRING)
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send, request body.
MAIL = obj(
    {
        "personalizations": array(
            obj(
                {"to": array(PERSON_SCHEMA)},
                cc=array(PERSON_SCHEMA),
                bcc=array(PERSON_SCHEMA),
                subject=STRING,
                headers=TEXTS,
                custom_args=TEXTS,
                send_at=INTEGER,
            ),
            1000,
        ),
        "from": PERSON_SCHEMA,
        "subject": STRING,
        "content": array(obj({"type": STRING, "value": STRING})),
    },
    reply_to=PERSON_SCHEMA,
    reply_to_list=array(PERSON_SCHEMA, 1000),
    attachments=array(
        obj(
            {"content": string(pattern=r"^[A-Za-z0-9+/]+={0,2}$"), "filename": STRING},
            type=string(pattern=r"^[^;,\r\n]+$"),
            disposition=one_of("inline", "attachment"),
            content_id=STRING,
        )
    ),
    headers=TEXTS,
    custom_args=TEXTS,
    categories=array(string(most=255), 10),
    template_id=STRING,
    send_at=INTEGER,
    batch_id=STRING,
    asm=ANY,
    ip_pool_name=STRING,
    mail_settings=ANY,
    tracking_settings=ANY,
)
RESERVED = {
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-transfer-encoding",
    "content-type",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
}


class SendGrid(Mail):
    platform = "sendgrid"

    def __init__(self):
        super().__init__()
        self.signer = ec.generate_private_key(ec.SECP256R1())
        self.key = f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"

    def webhook_credentials(self):
        public = self.signer.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {"publicKey": base64.b64encode(public).decode(), "address": ADDRESS}

    def sending_credentials(self):
        return {"apiKey": self.key, "apiURL": self.url}

    def signed(self, kind, body):
        stamp = str(int(time.time()))
        signature = self.signer.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": kind,
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        }, body

    def inbound(self, account):
        headers = self.thread()
        fields = {
            "headers": "".join(f"{name}: {value}\r\n" for name, value in headers.items()),
            "from": headers["From"],
            "to": headers["To"],
            "subject": headers["Subject"],
            "text": "hello\r\n",
            "envelope": json.dumps({"to": [ADDRESS], "from": PERSON}),
            "charsets": json.dumps({"to": "UTF-8", "subject": "UTF-8", "from": "UTF-8", "text": "utf-8"}),
            "attachments": "0",
        }
        form = {name: (None, value) for name, value in fields.items()}
        request = requests.Request("POST", "http://hub.invalid", files=form).prepare()
        return self.signed(request.headers["Content-Type"], request.body)

    def news(self, account, made, status):
        mail = made.call.json
        event = {
            "email": PERSON,
            "timestamp": int(time.time()),
            "smtp-id": f"<{made.id}>",
            "event": {"delivered": "delivered", "failed": "bounce"}[status],
            "sg_event_id": secrets.token_urlsafe(16),
            "sg_message_id": f"{secrets.token_urlsafe(16)}.filter0001.1234.5678-1",
        } | mail.get("custom_args", {})
        if status == "failed":
            event |= {"reason": "550 no such mailbox", "status": "5.1.1", "type": "bounce"}
        else:
            event |= {"response": "250 OK"}
        return self.signed("application/json", compact([event]) + b"\r\n")

    @staticmethod
    def error(status, words, field=None, headers=None):
        return status, {"errors": [{"message": words, "field": field, "help": None}]}, headers or {}

    def limits(self):
        """https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits."""
        headers = {
            "X-RateLimit-Limit": "150",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(time.time()) + 5),
        }
        return {
            "reset": Limit(self.error(429, "too many requests", headers=headers), 2, most=10),
            "bare": Limit(self.error(429, "too many requests"), 0.5, most=15),
        }

    def refusal(self):
        words = "Does not contain a valid address."
        return self.error(400, words, "personalizations.0.to.0.email"), words

    def broken(self):
        return self.error(500, "Internal Server Error")

    def unauthorised(self):
        return self.error(401, "The provided authorization grant is invalid, expired, or revoked")

    def invalid(self, words):
        return self.error(400, str(words))

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"Bearer {self.key}", self.unauthorised(), f"Authorization {given}")
        self.require(
            (call.method, call.path) == ("POST", "/v3/mail/send"), self.error(404, "not found"), call.path
        )
        mail = self.checked(call, MAIL, self.invalid)
        kinds = [one["type"] for one in mail["content"]]
        wanted = sorted(kinds, key=lambda kind: ("text/plain", "text/html").index(kind))
        self.require(kinds == wanted, self.invalid("content"), f"text/plain comes first: {kinds}")
        headers = mail.get("headers", {})
        taken = RESERVED & {name.lower() for name in headers}
        self.require(not taken, self.invalid("headers"), f"reserved: {taken}")
        arguments = mail.get("custom_args", {})
        self.require(len(compact(arguments)) <= 10_000, self.invalid("custom_args"), "too many custom_args")
        self.require(fault_of(array(ANY, 1), mail["personalizations"]) is None, self.invalid("people"), "")
        people = mail["personalizations"][0]
        files = [(one["filename"], base64.b64decode(one["content"])) for one in mail.get("attachments", [])]
        made = self.written(
            mail["from"]["email"],
            [one["email"] for one in people["to"]],
            mail["subject"],
            mail["content"][0]["value"],
            headers,
            files,
        )
        answer = 202, b"", {"X-Message-Id": secrets.token_urlsafe(16)}
        return self.create(call, lambda number: (made, answer))

    def client(self):
        api = SendGridAPIClient(self.key, host=self.url)
        mail = Letter(ADDRESS, PERSON, f"Re: {SUBJECT}", "by sendgrid")
        mail.header = Header("Message-ID", "<by-sendgrid@mg.example.com>")
        mail.header = Header("In-Reply-To", f"<{self.inbound_id}>")
        mail.header = Header("References", f"<{self.place}> <{self.inbound_id}>")
        assert api.send(mail).status_code == 202
        return "by-sendgrid@mg.example.com"
