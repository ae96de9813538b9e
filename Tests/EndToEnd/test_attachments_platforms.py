"""Files of platforms that give them in a way of their own: within an answer, or at 200 with a refusal.

The servers are written from signal-cli's `getAttachment` and from WeChat's `cgi-bin/media/get`.
"""

import base64
import hashlib
import json
import secrets
import time

import pytest

from attachments import fetch, png, settled
from hub import unique
from platform_server import PlatformServer

AMR = b"#!AMR\n" + bytes(2_000)
MP4 = b"\0\0\0\x18ftypmp42" + bytes(5_000)


class Signal:
    def __init__(self, user, content, **credentials):
        self.user = user
        self.content = content
        self.server = PlatformServer(self.answer)
        account = {"server": self.server.url, "number": "+491700000000"} | credentials
        body = {"platform": "signal", "name": "Phone", "credentials": account | {"token": secrets.token_urlsafe(16)}}
        self.account = user.post("/api/accounts", body, expect=201)
        self.url = f"{self.account['webhookUrl']}?token={body['credentials']['token']}"

    def answer(self, call):
        if call.path == "/api/v1/rpc":
            asked = call.json
            if asked["params"].get("id") != "known":
                error = {"code": -1, "message": f"Could not find attachment with ID: {asked['params'].get('id')}"}
                return 200, {"jsonrpc": "2.0", "id": asked["id"], "error": error}
            data = base64.b64encode(self.content).decode()
            return 200, {"jsonrpc": "2.0", "id": asked["id"], "result": {"data": data}}
        if call.path == "/v1/attachments/known":
            return 200, self.content, {"Content-Type": "image/png"}
        return 404, {"error": "No attachment with that name found"}

    def say(self, *attachments):
        stamp = time.time_ns() // 1_000_000
        sender = {"sourceUuid": unique("person"), "sourceName": "Ana", "timestamp": stamp}
        envelope = sender | {"dataMessage": {"timestamp": stamp, "attachments": list(attachments)}}
        path = "/" + self.url.split("/", 3)[3]
        answer = self.user.hub.request("POST", path, json={"envelope": envelope, "account": "+491700000000"})
        assert answer.status_code == 200, answer.text
        return newest(self.user, self.account)


def newest(user, account):
    [conversation] = user.conversations(account=account["id"])
    return user.messages(conversation["id"])[0]


@pytest.mark.parametrize("interface", ["rest", "daemon"])
def test_signal(user, interface):
    content = png(700_000)
    place = Signal(user, content, interface=interface)
    with place.server:
        known = {"contentType": "image/png", "id": "known", "size": len(content)}
        message = place.say(known, known | {"id": "gone"})
        stored = settled(user, message, "stored")
        assert stored["mime"] == "image/png" and fetch(user, stored["url"]).content == content
        assert "attachment" in settled(user, message, "failed", position=2)["reason"]


def test_what_the_daemon_gives_is_looked_at_too(user):
    place = Signal(user, b"<!DOCTYPE html><script>alert(1)</script>", interface="daemon")
    with place.server:
        message = place.say({"contentType": "image/png", "id": "known"})
        assert "no image" in settled(user, message, "failed")["reason"]


def test_a_limit_of_size_holds_within_an_answer(own_hub):
    user = own_hub("small", ATTACHMENT_BYTES_MAX="100K").user()
    place = Signal(user, png(200_000), interface="daemon")
    with place.server:
        message = place.say({"contentType": "image/png", "id": "known"})
        assert "larger than 102400" in settled(user, message, "failed")["reason"]


class WeChat:
    def __init__(self, user):
        self.user = user
        self.token = secrets.token_hex(8)
        self.person = unique("o")
        self.asked = []
        self.video_calls = 0
        self.ended = True
        self.server = PlatformServer(self.answer)
        credentials = {"token": self.token, "appId": "wx1", "appSecret": "s", "apiURL": self.server.url}
        body = {"platform": "wechat", "name": "Shop", "credentials": credentials}
        self.account = user.post("/api/accounts", body, expect=201)

    def answer(self, call):
        if call.path == "/cgi-bin/stable_token":
            return 200, {"access_token": "T1", "expires_in": 7200}
        if call.path == "/video.mp4":
            self.video_calls += 1
            return (404, b"", {}) if self.video_calls == 1 else (200, MP4, {"Content-Type": "video/mp4"})
        assert call.path == "/cgi-bin/media/get" and call.query["access_token"] == "T1"
        self.asked.append(call.query["media_id"])
        if self.ended:
            self.ended = False
            refusal = {"errcode": 42001, "errmsg": "access_token expired"}
            return 200, json.dumps(refusal).encode(), {"Content-Type": "text/plain"}
        match call.query["media_id"]:
            case "voice":
                return 200, AMR, {"Content-Type": "audio/amr", "Content-disposition": 'attachment; filename="a.amr"'}
            case "video":
                return 200, {"video_url": f"{self.server.url}/video.mp4"}, {"Content-Type": "text/plain; charset=utf-8"}
            case _:
                return 200, {"errcode": 40007, "errmsg": "invalid media_id"}

    def say(self, kind, media):
        stamp, nonce = str(int(time.time())), secrets.token_hex(4)
        signature = hashlib.sha1("".join(sorted([self.token, stamp, nonce])).encode()).hexdigest()
        number = secrets.randbelow(10**17)
        body = (
            f"<xml><ToUserName>gh_1</ToUserName><FromUserName>{self.person}</FromUserName>"
            f"<CreateTime>{stamp}</CreateTime><MsgType>{kind}</MsgType><MediaId>{media}</MediaId>"
            f"<MsgId>{number}</MsgId></xml>"
        )
        path = "/" + self.account["webhookUrl"].split("/", 3)[3]
        answer = self.user.hub.request(
            "POST", f"{path}?signature={signature}&timestamp={stamp}&nonce={nonce}", data=body,
            headers={"Content-Type": "text/xml"},
        )
        assert answer.status_code == 200, answer.text
        [conversation] = self.user.conversations(account=self.account["id"])
        return [m for m in self.user.messages(conversation["id"]) if m["externalId"] == str(number)][0]


def test_wechat(user):
    place = WeChat(user)
    with place.server:
        # The first answer is a refusal at 200: a token that ended is had anew, once.
        voice = settled(user, place.say("voice", "voice"), "stored")
        assert place.asked == ["voice", "voice"]
        assert fetch(user, voice["url"]).content == AMR
        # A video is somewhere else, and not yet when it is asked for first.
        video = settled(user, place.say("video", "video"), "stored")
        assert fetch(user, video["url"]).content == MP4 and place.video_calls == 2
        failed = settled(user, place.say("image", "old"), "failed")
        assert failed["reason"] == "40007: invalid media_id"
