"""LINE's Messaging API: https://developers.line.biz/en/reference/messaging-api/."""

import base64
import hashlib
import hmac
import secrets
import time
import uuid

from linebot.v3.messaging import (
    ApiClient,
    Configuration,
    MessagingApi,
    PushMessageRequest,
    ShowLoadingAnimationRequest,
    TextMessage,
)

from contracts.base import ANY, BOOLEAN, Contract, INTEGER, Limit, Made, array, compact, obj, one_of, string

USER = "Ucccccccccccccccccccccccccccccccc"
URL = string(2000, pattern="^https://")
COMMON = {"quickReply": ANY, "sender": ANY}
MESSAGE = {
    "oneOf": [
        obj({"type": one_of("text"), "text": string(5000)}, quoteToken=string(), emojis=ANY, **COMMON),
        obj({"type": one_of("image"), "originalContentUrl": URL, "previewImageUrl": URL}, **COMMON),
        obj(
            {"type": one_of("video"), "originalContentUrl": URL, "previewImageUrl": URL},
            trackingId=ANY,
            **COMMON,
        ),
        obj({"type": one_of("audio"), "originalContentUrl": URL, "duration": INTEGER}, **COMMON),
    ]
}
PUSH = obj(
    {"to": string(), "messages": array(MESSAGE, 5)},
    notificationDisabled=BOOLEAN,
    customAggregationUnits=array(string(30), 1),
)
READ = obj({"markAsReadToken": string()})
LOADING = obj({"chatId": string()}, loadingSeconds={"enum": list(range(5, 65, 5))})


class Line(Contract):
    platform = "line"
    does_once = True
    has_typing = True
    has_receipts = True
    files = "url"
    has_albums = True
    place = USER
    inbound_id = "444573844083572737"
    longest = "x" * 5000

    def __init__(self):
        super().__init__()
        self.secret = secrets.token_hex(16)
        self.token = secrets.token_urlsafe(60)

    def webhook_credentials(self):
        return {"channelSecret": self.secret}

    def sending_credentials(self):
        return {"channelAccessToken": self.token, "apiURL": self.url}

    def inbound(self, account):
        event = {
            "type": "message",
            "mode": "active",
            "timestamp": int(time.time() * 1000),
            "replyToken": "r",
            "source": {"type": "user", "userId": USER},
            "webhookEventId": "01FZ74A0TDDPYRVKNK77XKC001",
            "deliveryContext": {"isRedelivery": False},
            "message": {
                "id": self.inbound_id,
                "type": "text",
                "quoteToken": "q3Plxr4AgKd",
                "markAsReadToken": "30yhdy232",
                "text": "hello",
            },
        }
        body = compact({"destination": "Uaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "events": [event]})
        digest = hmac.new(self.secret.encode(), body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "X-Line-Signature": base64.b64encode(digest).decode(),
        }, body

    def limits(self):
        """LINE names no time."""
        words = "The API rate limit has been exceeded. Try again later."
        return {
            "rate": Limit((429, {"message": words}), 0.5, most=15),
            "header": Limit((429, {"message": words}, {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        """The month's messages are used up: waiting does not help."""
        return (429, {"message": "You have reached your monthly limit."}), "monthly limit"

    def unauthorised(self):
        words = "Authentication failed. Confirm that the access token in the authorization header is valid."
        return 401, {"message": words}

    def invalid(self, words):
        return 400, {
            "message": "The request body has 1 error(s)",
            "details": [{"message": str(words), "property": "messages[0]"}],
        }

    def route(self, call):
        if call.path == "/oauth2/v3/token":
            return self.renew(call)
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.refuse_if(self.is_expired and given != f"Bearer {self.token}", self.unauthorised())
        self.require(given == f"Bearer {self.token}", self.unauthorised(), f"Authorization {given}")
        self.require(call.method == "POST", (404, {"message": "Not found"}), call.method)
        if call.path == "/v2/bot/chat/loading/start":
            self.require(
                "x-line-retry-key" not in call.headers, self.invalid("X-Line-Retry-Key"), "a retry key"
            )
            self.checked(call, LOADING, self.invalid)
            self.typed.append(True)
            return 202, {}
        if call.path == "/v2/bot/chat/markAsRead":
            body = self.checked(call, READ, self.invalid)
            self.require(body["markAsReadToken"] == "30yhdy232", self.invalid("markAsReadToken"), body)
            self.seen.append(self.inbound_id)
            return 200, {}
        self.require(call.path == "/v2/bot/message/push", (404, {"message": "Not found"}), call.path)
        return self.push(call)

    def push(self, call):
        body = self.checked(call, PUSH, self.invalid)
        self.require(body["to"] == USER, (400, {"message": "The property, 'to', is invalid"}), body["to"])
        key = call.headers.get("x-line-retry-key")
        if key is not None:
            form = (400, {"message": "Invalid retry key"})
            self.require(str(uuid.UUID(key)) == key.lower(), form, key)
        texts = [one["text"] for one in body["messages"] if one["type"] == "text"]
        files = [(None, one["originalContentUrl"]) for one in body["messages"] if "originalContentUrl" in one]
        quoted = next((one["quoteToken"] for one in body["messages"] if "quoteToken" in one), None)
        wrong = (400, {"message": "The quote token is invalid"})
        self.require(quoted in (None, "q3Plxr4AgKd"), wrong, quoted)

        def make(number):
            sent = [
                {"id": str(461230966842064897 + number * 10 + place), "quoteToken": "IStG5h1Tz7b"}
                for place, _ in enumerate(body["messages"])
            ]
            made = Made(sent[0]["id"], USER, "\n".join(texts) or None, quoted and self.inbound_id, files)
            return made, (200, {"sentMessages": sent}, {"X-Line-Request-Id": f"request-{number}"})

        return self.create(call, make, key, self.repeated)

    @staticmethod
    def repeated(before):
        _, (_, body, headers) = before
        words = "The retry key is already accepted"
        return 409, {"message": words} | body, {"X-Line-Accepted-Request-Id": headers["X-Line-Request-Id"]}

    def judge(self):
        """line-bot-sdk's models are made of LINE's own OpenAPI document."""
        for call in self.calls:
            if call.path.endswith("/push"):
                read = PushMessageRequest.from_dict(call.json)
                assert read.to_dict() == {"notificationDisabled": False} | call.json, (
                    read.to_dict(),
                    call.json,
                )
            elif call.path.endswith("/start"):
                ShowLoadingAnimationRequest.from_dict(call.json)

    def client(self):
        with ApiClient(Configuration(host=self.url, access_token=self.token)) as api:
            request = PushMessageRequest(to=USER, messages=[TextMessage(text="by line-bot-sdk")])
            answer = MessagingApi(api).push_message(request, x_line_retry_key=str(uuid.uuid4()))
        return answer.sent_messages[0].id


class StatelessLine(Line):
    """https://developers.line.biz/en/reference/messaging-api/#issue-stateless-channel-access-token."""

    has_tokens = True

    def sending_credentials(self):
        return {"channelId": "1234567890", "apiURL": self.url}

    def renew(self, call):
        wanted = {"grant_type": "client_credentials", "client_id": "1234567890", "client_secret": self.secret}
        wrong = (400, {"error": "invalid_client", "error_description": "invalid client"})
        self.refuse_if(self.is_revoked, wrong)
        self.require(call.form == wanted, wrong, call.form)
        self.step(call)
        self.renewals += 1
        self.token = f"stateless-{self.renewals}"
        return 200, {"token_type": "Bearer", "access_token": self.token, "expires_in": 900}

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True
