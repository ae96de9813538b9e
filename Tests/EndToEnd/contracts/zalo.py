"""Zalo official accounts: https://developers.zalo.me/docs/official-account.

The status is 200 always. A refresh token is good once: the answer has the next one.
"""

import hashlib
import secrets
import time

from contracts.base import Contract, Limit, Made, array, compact, obj, one_of, parts_of, string

APP = "2553928453557884079"
OA = "3662729599332560487"
PERSON = "6142494823456789012"
ELEMENT = obj({"media_type": one_of("image", "gif", "sticker"), "attachment_id": string()})
TEMPLATE = obj({"template_type": one_of("media"), "elements": array(ELEMENT, 1)})
MESSAGE = obj(
    {
        "recipient": obj({"user_id": one_of(PERSON)}),
        "message": obj(
            text=string(most=2_000),
            quote_message_id=string(),
            attachment=obj({"type": one_of("template"), "payload": TEMPLATE}),
        ),
    }
)


class Zalo(Contract):
    platform = "zalo"
    files = "upload"
    has_steps = True
    has_tokens = True
    has_echo = True
    place = PERSON
    inbound_id = "cb31dff1c39642cc1b83"
    longest = "x" * 2_000

    def __init__(self):
        super().__init__()
        self.oa_secret = secrets.token_hex(16)
        self.app_secret = secrets.token_hex(10)
        self.refresh = f"refresh-0-{secrets.token_urlsafe(32)}"
        self.token = None
        self.stored = {}

    def webhook_credentials(self):
        return {"appId": APP, "oaSecret": self.oa_secret}

    def sending_credentials(self):
        return {
            "appSecret": self.app_secret,
            "refreshToken": self.refresh,
            "apiURL": self.url,
            "loginURL": self.url,
        }

    def event(self, name, sender, recipient, message):
        stamp = str(int(time.time() * 1000))
        body = compact(
            {
                "app_id": APP,
                "user_id_by_app": "979122185046046317",
                "event_name": name,
                "timestamp": stamp,
                "sender": {"id": sender},
                "recipient": {"id": recipient},
                "message": message,
            }
        )
        code = hashlib.sha256(APP.encode() + body + (stamp + self.oa_secret).encode()).hexdigest()
        return {"Content-Type": "application/json", "X-ZEvent-Signature": f"mac={code}"}, body

    def inbound(self, account):
        return self.event("user_send_text", PERSON, OA, {"msg_id": self.inbound_id, "text": "hello"})

    def echo(self, account, made):
        return self.event("oa_send_text", OA, PERSON, {"msg_id": made.id, "text": made.text})

    @staticmethod
    def error(code, words):
        return 200, {"error": code, "message": words}

    def limits(self):
        """-32 is a minute's limit, which is waited for longer than a case here may take."""
        return {"gateway": Limit((429, b"", {"Retry-After": "2"}), 2)}

    def minute(self):
        return self.error(-32, "Application reach limit calls per minute")

    def refusal(self):
        words = "User has not interacted with OA in the past 7 days"
        return self.error(-230, words), words

    def broken(self):
        return self.error(-200, "Sending message failed")

    def unauthorised(self):
        return self.error(-216, "Access token is invalid")

    def invalid(self, words):
        return self.error(-201, f"Params is invalid: {words}")

    def route(self, call):
        self.require(call.method == "POST", self.error(-404, "no such path"), call.method)
        if call.path == "/v4/oa/access_token":
            return self.renew(call)
        given = call.headers.get("access_token")
        self.refuse_if(self.is_revoked, self.unauthorised())
        self.refuse_if(self.is_expired and given != self.token, self.error(-220, "Access token has expired"))
        self.require(given == self.token, self.unauthorised(), f"access_token {given}")
        if call.path == "/v2.0/oa/upload/image":
            return self.upload(call)
        self.require(call.path == "/v3.0/oa/message/cs", self.error(-404, "no such path"), call.path)
        return self.send(call)

    def renew(self, call):
        words = "Invalid refresh token"
        wrong = (200, {"error": -14_014, "error_name": words, "error_description": words})
        self.refuse_if(self.is_revoked, wrong)
        secret = call.headers.get("secret_key")
        self.require(
            secret == self.app_secret, (200, {"error": -14_004, "error_name": "Invalid secret key"}), secret
        )
        wanted = {"grant_type": "refresh_token", "app_id": APP, "refresh_token": self.refresh}
        self.require(call.form == wanted, wrong, call.form)
        # The first token is no step of a test's: it would be given the answers of another interface.
        if self.is_expired:
            self.step(call)
        self.renewals += 1
        self.refresh = f"refresh-{self.renewals}-{secrets.token_urlsafe(32)}"
        self.token = f"access-{self.renewals}-{secrets.token_urlsafe(32)}"
        return 200, {"access_token": self.token, "refresh_token": self.refresh, "expires_in": "90000"}

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True

    def upload(self, call):
        self.step(call)
        parts = parts_of(call)
        self.require(set(parts) == {"file"}, self.invalid("file"), sorted(parts))
        [file] = parts["file"]
        self.require(file.type in ("image/jpeg", "image/png"), self.invalid("type"), file.type)
        self.require(
            file.filename and len(file.content) <= 1 << 20, self.error(-210, "too large"), file.filename
        )
        identifier = secrets.token_urlsafe(24)
        self.stored[identifier] = (file.filename, file.content)
        return 200, {"data": {"attachment_id": identifier}, "error": 0, "message": "Success"}

    def send(self, call):
        message = self.checked(call, MESSAGE, self.invalid)["message"]
        self.require("text" in message or "attachment" in message, self.invalid("empty"), "an empty message")
        files = []
        if "attachment" in message:
            [element] = message["attachment"]["payload"]["elements"]
            found = self.stored.get(element["attachment_id"])
            self.require(found, self.invalid("attachment_id"), element)
            files = [found]

        def make(number):
            made = Made(
                secrets.token_hex(10), PERSON, message.get("text"), message.get("quote_message_id"), files
            )
            data = {"message_id": made.id, "user_id": PERSON}
            return made, (200, {"data": data, "error": 0, "message": "Success"})

        return self.create(call, make)
