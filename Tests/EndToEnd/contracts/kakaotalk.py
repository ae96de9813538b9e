"""A KakaoTalk chatbot's callback: https://kakaobusiness.gitbook.io/main/tool/chatbot/skill_guide.

Nothing has an id. A message is answered once, within a minute, at the address that came with it.
"""

import hashlib
import secrets
import time

import requests

from contracts.base import Contract, Made, array, compact, obj, one_of, string

PERSON = "61a51e8ac6b1c5d2f0b3a4d5e6f7a8b9c0d1e2f3"
TEXT = obj({"simpleText": obj({"text": string(most=1_000)})})
IMAGE = obj({"simpleImage": obj({"imageUrl": string(pattern="^https?://"), "altText": string(most=1_000)})})
ANSWER = obj(
    {
        "version": one_of("2.0"),
        "template": obj({"outputs": array({"anyOf": [TEXT, IMAGE]}, 3)}, quickReplies=array({}, 10)),
    }
)
SECONDS = 60


class KakaoTalk(Contract):
    platform = "kakaotalk"
    files = "url"
    place = PERSON
    # There is no credential that could be taken back.
    cannot = frozenset({"revoked"})
    longest = "x" * 1_000

    def __init__(self):
        super().__init__()
        self.token = secrets.token_hex(16)
        self.callback = f"https://bot-api.kakao.com/v1/bots/65f0/callback?token={self.token}"
        self.inbound_id = hashlib.sha256(self.callback.encode()).hexdigest()[:32]
        self.secret = secrets.token_hex(16)
        self.is_used = False
        self.given_at = None

    def webhook_credentials(self):
        return {"headerSecret": self.secret, "useCallback": "true"}

    def sending_credentials(self):
        return {"apiURL": self.url}

    def inbound(self, account):
        request = {
            "timezone": "Asia/Seoul",
            "block": {"id": "bl1", "name": "fallback"},
            "utterance": "hello",
            "lang": "ko",
            "user": {"id": PERSON, "type": "botUserKey", "properties": {"plusfriendUserKey": "p-1"}},
            "callbackUrl": self.callback,
        }
        body = {
            "bot": {"id": "b1", "name": "Shop"},
            "intent": {"id": "i1", "name": "fallback"},
            "action": {"id": "a1", "name": "skill", "params": {}, "detailParams": {}, "clientExtra": {}},
            "userRequest": request,
            "contexts": [],
        }
        return {"Content-Type": "application/json", "X-Hub-Secret": self.secret}, compact(body)

    def deliver(self, hub, account, delivery):
        headers, body = delivery
        path = f"/webhooks/{self.platform}/{account['accountKey']}"
        response = requests.post(hub.url + path, data=body, headers=headers, timeout=5)
        answer = response.json()
        assert response.status_code == 200, response.text
        assert (answer["version"], answer["useCallback"]) == ("2.0", True), answer
        self.given_at = time.monotonic()

    def limits(self):
        return {}

    @staticmethod
    def result(status, words):
        body = {"taskId": secrets.token_hex(16), "status": status, "message": words}
        return 200, body | {"timestamp": int(time.time() * 1000)}

    def refusal(self):
        words = "Invalid callback token"
        return self.result("FAIL", words), words

    def invalid(self, words):
        return self.result("ERROR", str(words))

    def route(self, call):
        wanted = ("POST", "/v1/bots/65f0/callback", {"token": self.token})
        given = (call.method, call.path, call.query)
        self.require(given == wanted, self.invalid("no such callback"), given)
        self.require(time.monotonic() - self.given_at <= SECONDS, self.invalid("too late"), "after a minute")
        self.require(not self.is_used, self.refusal()[0], "a callback twice")
        outputs = self.checked(call, ANSWER, self.invalid)["template"]["outputs"]
        texts = [one["simpleText"]["text"] for one in outputs if "simpleText" in one]
        files = [(None, one["simpleImage"]["imageUrl"]) for one in outputs if "simpleImage" in one]

        def make(number):
            self.is_used = True
            return Made(None, PERSON, "\n".join(texts) or None, None, files), self.result("SUCCESS", "ok")

        return self.create(call, make)
