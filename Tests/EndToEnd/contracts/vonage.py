"""Vonage's Messages API, on WhatsApp: https://developer.vonage.com/en/api/messages."""

import hashlib
import re
import secrets
import time
import uuid
from datetime import datetime, timezone

import jwt
import requests.adapters
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from vonage_http_client import Auth, HttpClient
from vonage_messages import Messages, models

from contracts.base import Contract, Limit, Made, compact, fault_of, obj, one_of, string

CUSTOMER = "447700900001"
NUMBER = "447700900000"
NUMBERS = string(pattern=r"^[1-9]\d{6,14}$")
CONTEXT = obj({"message_uuid": string()})
COMMON = {"to": NUMBERS, "from": NUMBERS, "channel": one_of("whatsapp")}
OPTIONAL = {"client_ref": string(most=100), "webhook_url": string(), "webhook_version": one_of("v0.1", "v1")}


def content(type_, schema, **optional):
    return obj(COMMON | {"message_type": one_of(type_), type_: schema}, **OPTIONAL, **optional)


MEDIA = obj({"url": string(pattern="^https?://")}, caption=string(most=3_000))
KINDS = {
    "text": content("text", string(most=4_096), context=CONTEXT),
    "image": content("image", MEDIA, context=CONTEXT),
    "video": content("video", MEDIA, context=CONTEXT),
    "audio": content("audio", obj({"url": string(pattern="^https?://")}), context=CONTEXT),
    "file": content(
        "file", obj({"url": string(pattern="^https?://")}, caption=string(), name=string()), context=CONTEXT
    ),
    "reaction": content("reaction", obj({"action": one_of("react", "unreact")}, emoji=string())),
}
KINDS["reaction"]["properties"]["context"] = CONTEXT
KINDS["reaction"]["required"].append("context")
# The library knows no reactions on WhatsApp.
MODELS = {"text": models.WhatsappText, "image": models.WhatsappImage}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Vonage(Contract):
    platform = "vonage"
    files = "url"
    place = f"whatsapp:{CUSTOMER}"
    inbound_id = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
    has_receipts = True
    longest = "x" * 4_096

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.application = str(uuid.uuid4())
        self.tokens = set()

    def webhook_credentials(self):
        return {"signatureSecret": self.secret}

    def sending_credentials(self):
        return {"applicationId": self.application, "privateKey": PEM, "from": NUMBER, "apiURL": self.url}

    def signed(self, body):
        body = compact(body)
        claims = {
            "iss": "Vonage",
            "iat": int(time.time()),
            "jti": str(uuid.uuid4()),
            "application_id": self.application,
            "payload_hash": hashlib.sha256(body).hexdigest(),
        }
        token = jwt.encode(claims, self.secret, algorithm="HS256")
        return {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}, body

    def inbound(self, account):
        return self.signed(
            {
                "channel": "whatsapp",
                "context_status": "none",
                "from": CUSTOMER,
                "message_type": "text",
                "message_uuid": self.inbound_id,
                "profile": {"name": "Jane Smith"},
                "text": "hello",
                "timestamp": now(),
                "to": NUMBER,
            }
        )

    def news(self, account, made, status):
        body = {
            "message_uuid": made.id,
            "to": CUSTOMER,
            "from": NUMBER,
            "timestamp": now(),
            "status": {"delivered": "delivered", "failed": "undeliverable"}[status],
            "channel": "whatsapp",
            "client_ref": made.call.json.get("client_ref"),
        }
        if status == "failed":
            body["error"] = {
                "type": "https://developer.vonage.com/api-errors/messages#1320",
                "title": 1320,
                "detail": "Message already sent",
                "instance": secrets.token_hex(16),
            }
        return self.signed(body)

    @staticmethod
    def error(status, name, title, detail, headers=None, **more):
        problem = {
            "type": f"https://developer.vonage.com/api-errors#{name}",
            "title": title,
            "detail": detail,
            "instance": secrets.token_hex(16),
        }
        return status, problem | more, {"Content-Type": "application/problem+json"} | (headers or {})

    def limits(self):
        """https://developer.vonage.com/en/api-errors#throttled: it names no time."""
        words = ("throttled", "Rate Limit Hit", "Please wait, then retry your request")
        return {
            "bare": Limit(self.error(429, *words), 0.5, most=15),
            "header": Limit(self.error(429, *words, {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        words = "The 'to' number is not on WhatsApp"
        reason = [{"name": "to", "reason": words}]
        detail = "The value of one or more parameters is invalid."
        answer = self.error(422, "invalid-params", "Invalid params", detail, invalid_parameters=reason)
        return answer, words

    def broken(self):
        words = ("internal", "Internal error", "There was an error processing your request in the Platform.")
        return self.error(500, *words)

    def unauthorised(self):
        return self.error(401, "unauthorized", "Unauthorized", "You did not provide correct credentials.")

    def invalid(self, words):
        return self.error(422, "invalid-params", "Invalid params", str(words))

    def allowed(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        self.require(scheme == "Bearer", self.unauthorised(), f"Authorization {scheme}")
        claims = jwt.decode(token, KEY.public_key(), algorithms=["RS256"])
        self.require(claims["application_id"] == self.application, self.unauthorised(), claims)
        self.require(claims["jti"] not in self.tokens, self.unauthorised(), "a jti twice")
        self.require(claims["exp"] - claims["iat"] <= 86_400, self.unauthorised(), "more than a day")
        self.tokens.add(claims["jti"])

    def route(self, call):
        self.allowed(call)
        if call.method == "PATCH":
            name = re.fullmatch(r"/v1/messages/([^/]+)", call.path)
            self.require(name, self.error(404, "not-found", "Not Found", "no such path"), call.path)
            self.checked(call, obj({"status": one_of("read")}), self.invalid)
            self.seen.append(name[1])
            return 200, b""
        missing = self.error(404, "not-found", "Not Found", "no such path")
        self.require((call.method, call.path) == ("POST", "/v1/messages"), missing, call.path)
        kind = call.json.get("message_type")
        self.require(kind in KINDS, self.invalid("message_type"), kind)
        message = self.checked(call, KINDS[kind], self.invalid)
        self.require(message["to"] == CUSTOMER, self.invalid("to"), message["to"])
        self.require(message["from"] == NUMBER, self.invalid("from"), message["from"])
        context = message.get("context", {}).get("message_uuid")
        if kind == "reaction":
            given = message["reaction"]
            is_set = given["action"] == "react"
            self.require(("emoji" in given) == is_set, self.invalid("emoji"), given)
            self.reactions.append((context, self.emoji, is_set))
            self.require(given.get("emoji", self.emoji) == self.emoji, self.invalid("emoji"), given)
            return 202, {"message_uuid": str(uuid.uuid4())}
        file = message.get(kind) if kind != "text" else None
        text = message["text"] if kind == "text" else file.get("caption")
        files = [(file.get("name"), file["url"])] if file else []

        def make(number):
            made = Made(str(uuid.uuid4()), f"whatsapp:{message['to']}", text, context, files)
            return made, (202, {"message_uuid": made.id})

        return self.create(call, make)

    def judge(self):
        """The library's models read what was sent, and would write the same."""
        bodies = [call.json for call in self.calls if call.method == "POST" and "reaction" not in call.json]
        for body in bodies:
            given = {("from_" if name == "from" else name): value for name, value in body.items()}
            model = MODELS[body["message_type"]].model_validate(given)
            written = model.model_dump(by_alias=True, exclude_none=True, mode="json")
            assert fault_of({"const": body}, written) is None, (body, written)

    def client(self):
        contract = self

        class Here(requests.adapters.HTTPAdapter):
            def send(self, request, **options):
                request.url = request.url.replace("https://api.nexmo.com", contract.url)
                return super().send(request, **options)

        api = HttpClient(Auth(application_id=self.application, private_key=PEM))
        api._session.mount("https://", Here())
        message = models.WhatsappText(to=CUSTOMER, from_=NUMBER, text="by vonage")
        return Messages(api).send(message).message_uuid


class VonageSMS(Vonage):
    """The SMS API: https://developer.vonage.com/en/api/sms. Its status is 200 always: the body decides."""

    only = frozenset({"text", "refused", "revoked", "unavailable", "swallowed", "gateway", "garbled"})
    place = CUSTOMER
    inbound_id = "0A0000000123ABCD1"
    files = None
    longest = None

    def webhook_credentials(self):
        return {"signatureSecret": self.secret}

    def sending_credentials(self):
        return {
            "api": "sms",
            "apiKey": "abcd1234",
            "apiSecret": self.application,
            "from": NUMBER,
            "apiURL": self.url,
        }

    def signed(self, body):
        """https://developer.vonage.com/en/getting-started/concepts/signing-messages, md5hash"""
        body = body | {"timestamp": str(int(time.time())), "nonce": str(uuid.uuid4())}
        text = "".join(f"&{name}={re.sub('[&=]', '_', value)}" for name, value in sorted(body.items()))
        body["sig"] = hashlib.md5((text + self.secret).encode()).hexdigest()
        return {"Content-Type": "application/json"}, compact(body)

    def inbound(self, account):
        return self.signed(
            {
                "msisdn": CUSTOMER,
                "to": NUMBER,
                "messageId": self.inbound_id,
                "text": "hello",
                "type": "text",
                "keyword": "HELLO",
                "api-key": "abcd1234",
                "message-timestamp": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
            }
        )

    def news(self, account, made, status):
        told = {"delivered": ("delivered", "0"), "failed": ("failed", "9")}[status]
        return self.signed(
            {
                "msisdn": CUSTOMER,
                "to": NUMBER,
                "network-code": "23430",
                "messageId": made.id,
                "price": "0.03330000",
                "status": told[0],
                "err-code": told[1],
                "api-key": "abcd1234",
                "client-ref": made.call.form["client-ref"],
                "scts": datetime.now(timezone.utc).strftime("%y%m%d%H%M"),
                "message-timestamp": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
            }
        )

    @staticmethod
    def told(status, words):
        return 200, {"message-count": "1", "messages": [{"status": status, "error-text": words}]}

    def limits(self):
        return {"throttled": Limit(self.told("1", "Throughput Rate Exceeded"), 1, most=10)}

    def refusal(self):
        words = "Number barred"
        return self.told("7", words), words

    def broken(self):
        return self.told("5", "Internal Error")

    def unauthorised(self):
        return self.told("4", "Bad Credentials")

    def invalid(self, words):
        return self.told("3", f"Invalid value for parameter {words}")

    def route(self, call):
        self.require(
            (call.method, call.path) == ("POST", "/sms/json"), (404, b""), f"{call.method} {call.path}"
        )
        kind = call.headers["content-type"].split(";")[0]
        self.require(kind == "application/x-www-form-urlencoded", self.invalid("type"), kind)
        form = dict(call.form)
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = (form.pop("api_key", None), form.pop("api_secret", None))
        self.require(given == ("abcd1234", self.application), self.unauthorised(), given)
        schema = obj(
            {"from": one_of(NUMBER), "to": one_of(CUSTOMER), "text": string()},
            type=one_of("text", "unicode"),
            **{"client-ref": string(most=100)},
        )
        wrong = fault_of(schema, form)
        self.require(wrong is None, self.invalid(wrong), wrong)
        # What GSM's alphabet has not becomes question marks, unless the type says that it is Unicode.
        is_plain = form["text"].isascii() or form.get("type") == "unicode"

        def make(number):
            made = Made(
                f"0C000000217B7F{number:02}", CUSTOMER, form["text"] if is_plain else "?" * len(form["text"])
            )
            one = {
                "to": CUSTOMER,
                "message-id": made.id,
                "status": "0",
                "remaining-balance": "3.14159265",
                "message-price": "0.03330000",
                "network": "23430",
            }
            return made, (200, {"message-count": "1", "messages": [one]})

        return self.create(call, make)

    def judge(self):
        """The schema stands in: the library of the Messages API does not know this one."""
        for call in self.calls:
            assert call.form["client-ref"], call.form

    client = Contract.client
