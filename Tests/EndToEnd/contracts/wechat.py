"""WeChat official accounts: https://developers.weixin.qq.com/doc/offiaccount/Message_Management.

The status is 200 always. Customer service messages have no id.
"""

import secrets
import time

import requests
import wechatpy
import wechatpy.utils

from contracts.base import Contract, Limit, Made, obj, one_of, parts_of, string
from contracts.scene import TEXT

OPENID = "oABCD1234567890"
ACCOUNT = "gh_1234567890ab"
APP = "wx1234567890abcdef"
TO = {"touser": one_of(OPENID)}
SERVICE = obj({"kf_account": string()})
MESSAGES = {
    "text": obj(TO | {"msgtype": one_of("text"), "text": obj({"content": string()})}, customservice=SERVICE),
    "image": obj(
        TO | {"msgtype": one_of("image"), "image": obj({"media_id": string()})}, customservice=SERVICE
    ),
}
TEMPLATE = obj(
    TO
    | {
        "template_id": string(),
        "data": {"type": "object", "additionalProperties": obj({"value": string()}, color=string())},
    },
    url=string(),
    topcolor=string(),
    miniprogram=obj({"appid": string()}, pagepath=string()),
    client_msg_id=string(most=64),
)
TYPING = obj(TO | {"command": one_of("Typing", "CancelTyping")})
TOKEN = obj(
    {"grant_type": one_of("client_credential"), "appid": one_of(APP), "secret": string()}, force_refresh={}
)
XML = (
    "<xml><ToUserName><![CDATA[{account}]]></ToUserName><FromUserName><![CDATA[{person}]]></FromUserName>"
    "<CreateTime>{now}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[hello]]></Content>"
    "<MsgId>{id}</MsgId></xml>"
)


class WeChat(Contract):
    platform = "wechat"
    files = "upload"
    has_caption = False
    has_steps = True
    has_tokens = True
    has_typing = True
    place = OPENID
    inbound_id = "23456789012345678"
    # In UTF-8 within the 2048 bytes.
    longest = "汉" * 600

    def __init__(self):
        super().__init__()
        self.signing_token = secrets.token_hex(12)
        self.secret = secrets.token_hex(16)
        self.token = None
        self.media = {}

    def webhook_credentials(self):
        return {"token": self.signing_token, "appId": APP}

    def sending_credentials(self):
        return {"appSecret": self.secret, "apiURL": self.url}

    def inbound(self, account):
        body = XML.format(account=ACCOUNT, person=OPENID, now=int(time.time()), id=self.inbound_id)
        return {"Content-Type": "text/xml"}, body.encode()

    def deliver(self, hub, account, delivery):
        """What is signed stands in the address, and not in the body."""
        headers, body = delivery
        signer = wechatpy.utils.WeChatSigner()
        query = {"timestamp": str(int(time.time())), "nonce": secrets.token_hex(4), "openid": OPENID}
        signer.add_data(self.signing_token, query["timestamp"], query["nonce"])
        query["signature"] = signer.signature
        path = f"/webhooks/{self.platform}/{account['accountKey']}"
        response = requests.post(hub.url + path, data=body, headers=headers, params=query, timeout=15)
        assert response.status_code == 200 and response.text in ("", "success"), response.text

    @staticmethod
    def error(code, words):
        return 200, {"errcode": code, "errmsg": f"{words} rid: 6543210f-12345678-90abcdef"}

    def limits(self):
        """45011 and 45009 are waited for longer than a test may take; -1 is that the system is busy."""
        return {
            "busy": Limit(self.error(-1, "system error"), 0.5, most=15),
            "gateway": Limit((429, b"", {"Retry-After": "2"}), 2),
        }

    def minute(self):
        return self.error(45_011, "api minute-quota reach limit, must slower, retry next minute")

    def refusal(self):
        words = "response out of time limit or subscription is canceled"
        return self.error(45_015, words), words

    def broken(self):
        return 500, b"<html>error</html>", {"Content-Type": "text/html"}

    def unauthorised(self):
        return self.error(40_001, "invalid credential, access_token is invalid or not latest")

    def invalid(self, words):
        return self.error(47_001, f"data format error: {words}")

    def route(self, call):
        self.require(call.method == "POST", self.error(43_002, "require POST method"), call.method)
        if call.path == "/cgi-bin/stable_token":
            return self.renew(call)
        given = call.query.pop("access_token", None)
        self.refuse_if(self.is_revoked, self.unauthorised())
        ended = self.error(42_001, "access_token expired")
        self.refuse_if(self.is_expired and given != self.token, ended)
        self.require(given == self.token, self.unauthorised(), f"access_token {given}")
        does = {
            "/cgi-bin/media/upload": self.upload,
            "/cgi-bin/message/custom/typing": self.type,
            "/cgi-bin/message/custom/send": self.send,
            "/cgi-bin/message/template/send": self.template,
        }.get(call.path)
        self.require(does, self.error(40_066, "invalid url"), call.path)
        return does(call)

    def renew(self, call):
        body = self.checked(call, TOKEN, self.invalid)
        wrong = self.error(40_125, "invalid appsecret")
        self.refuse_if(self.is_revoked, wrong)
        self.require(body["secret"] == self.secret, wrong, body)
        self.step(call)
        self.renewals += 1
        self.token = f"75_{self.renewals}_{secrets.token_hex(16)}"
        return 200, {"access_token": self.token, "expires_in": 7200}

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True

    def upload(self, call):
        self.step(call)
        self.require(call.query == {"type": "image"}, self.error(40_004, "invalid media type"), call.query)
        parts = parts_of(call)
        self.require(set(parts) == {"media"}, self.error(41_005, "media data missing"), sorted(parts))
        [media] = parts["media"]
        self.require(media.filename, self.error(41_005, "media data missing"), "no filename")
        self.require(media.type.startswith("image/"), self.error(40_005, "invalid file type"), media.type)
        identifier = secrets.token_urlsafe(48)
        self.media[identifier] = (media.filename, media.content)
        return 200, {"type": "image", "media_id": identifier, "created_at": int(time.time())}

    def type(self, call):
        self.require(not call.query, self.invalid("query"), call.query)
        body = self.checked(call, TYPING, self.invalid)
        self.typed.append(body["command"] == "Typing")
        return 200, {"errcode": 0, "errmsg": "ok"}

    def send(self, call):
        self.require(not call.query, self.invalid("query"), call.query)
        kind = call.json.get("msgtype")
        self.require(kind in MESSAGES, self.error(40_008, "invalid message type"), kind)
        body = self.checked(call, MESSAGES[kind], self.invalid)
        text, files = body.get("text", {}).get("content"), []
        # What the documentation says: 2048 bytes.
        self.require(
            len((text or "").encode()) <= 2_048, self.error(45_002, "content size out of limit"), "long"
        )
        if kind == "image":
            identifier = body["image"]["media_id"]
            self.require(identifier in self.media, self.error(40_007, "invalid media_id"), identifier)
            files = [self.media[identifier]]
        made = Made(None, OPENID, text, None, files)
        return self.create(call, lambda number: (made, (200, {"errcode": 0, "errmsg": "ok"})))

    def template(self, call):
        """One of a person and a `client_msg_id` is sent once, for ten minutes. Its end is an event."""
        self.require(not call.query, self.invalid("query"), call.query)
        body = self.checked(call, TEMPLATE, self.invalid)
        text = body["data"]["first"]["value"]

        def make(number):
            made = Made(str(200_228_331 + number), OPENID, text)
            return made, (200, {"errcode": 0, "errmsg": "ok", "msgid": int(made.id)})

        repeated = lambda before: before[1]
        return self.create(call, make, body.get("client_msg_id"), repeated)

    def judge(self):
        """The library writes the same of the same words."""
        calls = [call for call in self.calls if call.path.endswith("/custom/send")]
        written = []

        class Here(wechatpy.WeChatClient):
            def _request(self, method, url_or_endpoint, **options):
                written.append((method.upper(), f"/cgi-bin/{url_or_endpoint}", options["data"]))
                return {"errcode": 0}

        api = Here(APP, self.secret, access_token=self.token)
        for call in calls:
            body = call.json
            if body["msgtype"] == "text":
                api.message.send_text(OPENID, body["text"]["content"])
            else:
                api.message.send_image(OPENID, body["image"]["media_id"])
        assert written == [(call.method, call.path, call.json) for call in calls]


class WeChatTemplate(WeChat):
    """Templates have an id, and an event tells their end."""

    only = frozenset({"text", "refused", "revoked", "broken", "swallowed", "garbled"})

    def open(self, scene):
        super().open(scene)
        plain = scene.send

        def send(text=TEXT, **more):
            template = {
                "template_id": "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
                "url": "https://example.com/order",
                "data": {"first": {"value": text}},
            }
            return plain(None, platform={"template": template}, **more)

        scene.send = send

    def judge(self):
        calls = [call for call in self.calls if call.path.endswith("/template/send")]
        written = []

        class Here(wechatpy.WeChatClient):
            def _request(self, method, url_or_endpoint, **options):
                written.append((method.upper(), f"/cgi-bin/{url_or_endpoint}", options["data"]))
                return {"errcode": 0}

        api = Here(APP, self.secret, access_token=self.token)
        for call in calls:
            body = call.json
            api.message.send_template(OPENID, body["template_id"], body["data"], url=body["url"])
        sent = [
            {name: value for name, value in call.json.items() if name != "client_msg_id"} for call in calls
        ]
        assert [(method, path) for method, path, _ in written] == [(call.method, call.path) for call in calls]
        written = [{name: value for name, value in one.items() if value} for _, _, one in written]
        assert written == sent
        assert all(call.json["client_msg_id"] for call in calls)

    def ended(self, made, status):
        told = {"delivered": "success", "failed": "failed:user block"}[status]
        body = (
            f"<xml><ToUserName><![CDATA[{ACCOUNT}]]></ToUserName>"
            f"<FromUserName><![CDATA[{OPENID}]]></FromUserName><CreateTime>{int(time.time())}</CreateTime>"
            "<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>"
            f"<MsgID>{made.id}</MsgID><Status><![CDATA[{told}]]></Status></xml>"
        )
        return {"Content-Type": "text/xml"}, body.encode()
