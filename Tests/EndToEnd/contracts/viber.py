"""Viber's REST API for bots: https://developers.viber.com/docs/api/rest-bot-api/#send-message."""

import hashlib
import hmac
import secrets
import time

from viberbot.api.messages import PictureMessage, TextMessage

from contracts.base import ANY, Contract, INTEGER, Limit, Made, compact, fault_of, obj, one_of, string

USER = "01234567890A="
SENDER = obj({"name": string(28)}, avatar=string())
COMMON = {"tracking_data": string(4096, least=0), "min_api_version": INTEGER, "keyboard": ANY}
KINDS = {
    "text": {"text": string(7000)},
    "picture": {"text": string(768, least=0), "media": string(pattern="^https?://")},
}


class Viber(Contract):
    platform = "viber"
    files = "url"
    file_name = "cat.jpg"
    file_type = "image/jpeg"
    place = USER
    inbound_id = "4912661846655238145"
    longest = "x" * 7000

    def __init__(self):
        super().__init__()
        self.token = f"{secrets.token_hex(8)}-{secrets.token_hex(8)}-{secrets.token_hex(8)}"

    def webhook_credentials(self):
        return {"authToken": self.token}

    def sending_credentials(self):
        return {"senderName": "Support", "apiURL": self.url}

    def inbound(self, account):
        body = compact(
            {
                "event": "message",
                "timestamp": int(time.time() * 1000),
                "message_token": int(self.inbound_id),
                "sender": {
                    "id": USER,
                    "name": "John McClane",
                    "language": "en",
                    "country": "GB",
                    "api_version": 10,
                },
                "message": {"type": "text", "text": "hello"},
                "silent": False,
                "chat_hostname": "SN-CHAT-01_",
            }
        )
        signature = hmac.new(self.token.encode(), body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", "X-Viber-Content-Signature": signature}, body

    @staticmethod
    def error(status, words):
        """The status of HTTP is 200 always."""
        return 200, {"status": status, "status_message": words, "chat_hostname": "SN-CHAT-01_"}

    def limits(self):
        return {
            "status": Limit(self.error(12, "tooManyRequests"), 0.5, most=15),
            "http": Limit((429, b"", {"Retry-After": "2", "Content-Type": "text/plain"}), 2),
        }

    def refusal(self):
        return self.error(6, "notSubscribed"), "notSubscribed"

    def broken(self):
        return self.error(99, "generalError")

    def unauthorised(self):
        return self.error(2, "invalidAuthToken")

    def route(self, call):
        self.require(call.method == "POST" and call.path == "/pa/send_message", (404, {}), call.path)
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("x-viber-auth-token")
        self.require(given == self.token, self.unauthorised(), f"X-Viber-Auth-Token {given}")
        body = call.json
        kind = body.get("type")
        self.require(kind in KINDS, self.error(4, "missingData"), f"type {kind}")
        required = {"receiver": string(), "type": one_of(kind), "sender": SENDER} | KINDS[kind]
        optional = COMMON | ({"thumbnail": string()} if kind == "picture" else {})
        wrong = fault_of(obj(required, **optional), body)
        self.require(wrong is None, self.error(3, f"badData: {wrong}"), f"{wrong} in {body}")
        self.require(len(call.body) <= 30 << 10, self.error(3, "badData"), "more than 30 KB")
        self.require(body["receiver"] == USER, self.error(5, "receiverNotRegistered"), body["receiver"])

        def make(number):
            token = 5_741_311_803_571_721_087 + number
            files = [(None, body["media"])] if "media" in body else []
            made = Made(str(token), USER, body.get("text") or None, None, files)
            return made, (
                200,
                {
                    "status": 0,
                    "status_message": "ok",
                    "message_token": token,
                    "chat_hostname": "SN-CHAT-01_",
                    "billing_status": 1,
                },
            )

        return self.create(call, make)

    def judge(self):
        """viberbot reads the message as its own, and finds it complete."""
        for call in self.calls:
            model = {"text": TextMessage, "picture": PictureMessage}[call.json["type"]]()
            message = model.from_dict(call.json)
            assert message.validate()
            written = message.to_dict()
            assert all(
                call.json[name] == value for name, value in written.items() if value is not None
            ), written
