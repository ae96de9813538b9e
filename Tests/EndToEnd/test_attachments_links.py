"""Links of platforms: they end, they are asked for anew, and no client is ever told of one."""

import asyncio
import json
import time

import nacl.signing
import pytest
import websockets

from attachments import Source, fetch, png, settled
from hub import unique
from platform_server import HANG, PlatformServer


class Discord:
    """A bot's direct messages, signed as Discord signs them."""

    def __init__(self, user, url):
        self.user = user
        self.key = nacl.signing.SigningKey.generate()
        credentials = {"publicKey": bytes(self.key.verify_key).hex(), "botToken": "bot-token", "apiURL": url}
        body = {"platform": "discord", "name": "D", "credentials": credentials, "settings": {"polling": "off"}}
        self.account = user.post("/api/accounts", body, expect=201)

    def say(self, *links):
        files = [
            {"id": str(n), "filename": "a.png", "content_type": "image/png", "size": 1, "url": link, "proxy_url": link}
            for n, link in enumerate(links, 1)
        ]
        data = {
            "id": str(time.time_ns()), "channel_id": "7", "channel": {"id": "7", "type": 1}, "type": 0, "content": "see",
            "author": {"id": "5", "username": "mason"}, "timestamp": "2026-11-20T23:59:59.299000+00:00", "attachments": files,
        }
        event = {"type": "GAME_DIRECT_MESSAGE_CREATE", "timestamp": "2026-11-21T00:00:00.000000Z", "data": data}
        body = json.dumps({"version": 1, "application_id": "1", "type": 1, "event": event}).encode()
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json", "X-Signature-Timestamp": stamp,
            "X-Signature-Ed25519": self.key.sign(stamp.encode() + body).signature.hex(),
        }
        hub = self.user.hub
        answer = hub.session.post(f"{hub.url}/webhooks/discord/{self.account['accountKey']}", data=body, headers=headers)
        assert answer.status_code in (200, 204), answer.text
        [conversation] = self.user.conversations(account=self.account["id"])
        return next(m for m in self.user.messages(conversation["id"]) if m["externalId"] == data["id"])


@pytest.mark.parametrize("status", [403, 404])
def test_a_link_that_has_ended_is_asked_for_anew(user, status):
    content = png(20_000)

    def answer(call):
        if call.path == "/attachments/refresh-urls":
            [link] = call.json["attachment_urls"]
            return 200, {"refreshed_urls": [{"original": link, "refreshed": link.replace("old", "new")}]}
        return (200, content) if call.query["ex"] == "new" else (status, b"This content is no longer available.")

    with PlatformServer(answer) as server:
        discord = Discord(user, server.url)
        stored = settled(user, discord.say(f"{server.url}/files/a.png?ex=old&is=1&hm=2"), "stored")
        assert fetch(user, stored["url"]).content == content
        assert [call.path for call in server.calls] == ["/files/a.png", "/attachments/refresh-urls", "/files/a.png"]
        assert server.calls[1].headers["authorization"] == "Bot bot-token"
        # A link is enough without the token, so the token does not go along.
        assert [call.headers.get("authorization") for call in (server.calls[0], server.calls[2])] == [None, None]


def test_a_link_that_cannot_be_had_anew_is_gone(user):
    def answer(call):
        if call.path == "/attachments/refresh-urls":
            return 200, {"refreshed_urls": [{"original": "x", "refreshed": server.url + "/files/a.png?ex=new"}]}
        return 404, b""

    with PlatformServer(answer) as server:
        discord = Discord(user, server.url)
        assert "404" in settled(user, discord.say(f"{server.url}/files/a.png?ex=old"), "failed")["reason"]
        assert len(server.calls) == 3


def test_a_later_try_asks_for_a_new_path(user):
    """Telegram's paths are good for an hour: what is tried again begins with the file's id."""
    content, paths = png(3_000), []

    def answer(call):
        if call.path.endswith("/getFile"):
            paths.append(f"photos/{len(paths)}.png")
            return 200, {"ok": True, "result": {"file_id": "F", "file_path": paths[-1]}}
        return (200, content) if call.path.endswith("/photos/1.png") else (502, b"")

    with PlatformServer(answer) as server:
        account = user.telegram()
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"botToken": "1:abc", "apiURL": server.url}})
        account.say(1, document={"file_id": "F", "file_name": "a.png", "mime_type": "image/png"})
        [conversation] = user.conversations(account=account.id)
        stored = settled(user, user.messages(conversation["id"])[0], "stored")
        assert fetch(user, stored["url"]).content == content
        assert paths == ["photos/0.png", "photos/1.png"]


def test_no_client_is_told_where_the_platform_has_a_file(hub, user):
    """Not before the file is there and not after, not in lists, events or frames, and not in what a platform repeats."""
    release = []
    source = Source(user, lambda call: (200, png()) if release else (503, b"", {"Retry-After": "1"}))
    link = f"{source.server.url}/secret-place/a.png?sig=1&exp=2"
    other = f"{source.server.url}/secret-place/a.png"
    frames = []

    async def listen(until):
        address = hub.url.replace("http", "ws") + "/ws"
        async with websockets.connect(address, proxy=None) as connection:
            await connection.send(json.dumps({"type": "authenticate", "data": {"token": user.token}}))
            frames.append(await asyncio.wait_for(connection.recv(), 5))
            work = asyncio.create_task(asyncio.to_thread(until))
            while not work.done():
                try:
                    frames.append(await asyncio.wait_for(connection.recv(), 0.5))
                except TimeoutError:
                    pass
            return await work

    def run():
        message = source.say(
            source.file(link), source.file(other), identifier=unique("m"),
            details={"raw": {"media": [link, other], "html": f"<img src='{link.replace('&', '&amp;')}'>"}},
        )
        time.sleep(0.5)
        told = everything(user, message)
        release.append(True)
        for position in (1, 2):
            settled(user, message, "stored", position)
        return told + everything(user, message), message

    try:
        told, message = asyncio.run(listen(run))
    finally:
        source.server.close()
    assert any("message_update" in frame for frame in frames) and any("new_message" in frame for frame in frames)
    for text in [told, *frames, hub.log_text()]:
        assert "secret-place" not in text and source.server.url not in text


def everything(user, message):
    """All that the API says of a message."""
    return json.dumps([
        message, user.get(f"/api/messages/{message['id']}"), user.messages(message["conversationId"]), user.conversations(),
        user.events(), user.get("/api/outbox"), user.get(f"/api/conversations/{message['conversationId']}"),
        user.get(f"/api/conversations/{message['conversationId']}/messages", around=message["id"]),
    ])


def test_what_details_say_of_a_file_leads_to_the_hub(user):
    """A longer link that begins like a shorter one stays itself."""
    source = Source(user, lambda call: HANG)
    try:
        short, long = f"{source.server.url}/a", f"{source.server.url}/ab?x=1&y=2"
        details = {"short": short, "long": long, "html": f'<img src="{long.replace("&", "&amp;")}">\n\t"{short}"'}
        message = source.say(source.file(short), source.file(long), details=details)
        one, two = (file["url"] for file in message["attachments"])
        assert message["details"] == {"short": one, "long": two, "html": f'<img src="{two}">\n\t"{one}"'}
    finally:
        source.server.close()
