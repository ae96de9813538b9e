"""Clients of Engine.IO 3 against the hub: the stock library of then, and recorded requests of others."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
import websocket

from hub import ROOT, wait_until

LIBRARIES = Path(os.environ.get("OLD_CLIENT_LIBRARIES", ROOT / ".build/old-clients"))
SCRIPT = Path(__file__).with_name("old_client.py")


class OldClient:
    def __init__(self, hub, token, transports, kind):
        environment = os.environ | {"PYTHONPATH": str(LIBRARIES)}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), hub.url, token, ",".join(transports), kind],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []

    def event(self):
        """The next event; a library's remark on the way is kept for the failure."""
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("["):
                return json.loads(line)
        raise AssertionError("".join(self.lines))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
@pytest.mark.parametrize(
    "transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids=["websocket", "polling", "upgrade"])
def test_the_stock_client_of_revision_3(hub, transports, kind):
    assert LIBRARIES.exists(), f"{LIBRARIES} is missing: .ci/test.sh installs it"
    user = hub.user()
    account = user.telegram()
    client = OldClient(hub, user.token, transports, kind)
    try:
        event, granted = client.event()
        assert event == "authenticated" and granted["userId"] == user.id
        account.say(1, "Grüße 👋")
        event, pushed = client.event()
        assert event == "new_message" and pushed["message"]["text"] == "Grüße 👋"
        event, unread = client.event()
        assert event == "unread_count_update" and unread["totalUnread"] == 1
        assert client.event() == ["end"]
    finally:
        client.close()
    wait_until(lambda: client.process.returncode is not None)


# What the JavaScript clients send first, and how they go on, from their sources: versions 2 (engine.io-client 3),
# 3 and 4 (engine.io-client 4 to 6). Version 2 says its token in the query, it has no `auth`.
RECORDED = {
    "2": ("/socket.io/?token={token}&EIO=3&transport=websocket", [], "40"),
    "3": ("/socket.io/?EIO=4&transport=websocket", ['40{{"token":"{token}"}}'], '40{"sid":'),
    "4": ("/socket.io/?EIO=4&transport=websocket", ['40{{"token":"{token}"}}'], '40{"sid":'),
    "4 with a time stamp": (
        "/socket.io/?EIO=4&transport=websocket&t=PnXq9f7", ['40{{"token":"{token}"}}'], '40{"sid":'),
}


@pytest.mark.parametrize("version", RECORDED)
def test_recorded_javascript_clients(hub, version):
    target, messages, connected = RECORDED[version]
    user = hub.user()
    account = user.telegram()
    connection = websocket.create_connection(
        hub.url.replace("http", "ws") + target.format(token=user.token), timeout=5,
        header=["Accept-Encoding: gzip, deflate, br", "Accept-Language: de-DE,de;q=0.9", "Cache-Control: no-cache",
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"])
    try:
        assert connection.recv().startswith('0{"sid":')
        for message in messages:
            connection.send(message.format(token=user.token))
        assert connection.recv().startswith(connected)
        assert connection.recv().startswith('42["authenticated",')
        account.say(1, "hello")
        names = []
        while "unread_count_update" not in names:
            names.append(json.loads(connection.recv()[2:])[0])
        assert "new_message" in names
        connection.send("41")
        connection.send("1")
    finally:
        connection.close()


# How their sessions begin where they may choose: by polling, and an upgrade while a poll is held. What version 2
# says more is its token, in the query of each request; `t` is a time stamp, with a count in older clients.
ORIGIN = "http://localhost:5173"
POLLED = {
    "2": ("token={token}&EIO=3&transport={transport}&t=PnXq9f7", None, lambda packets: "".join(
        f"{len(packet)}:{packet}" for packet in packets)),
    "3": ("EIO=4&transport={transport}&t=NnXq9f7.0", '40{{"token":"{token}"}}', "\x1e".join),
    "4": ("EIO=4&transport={transport}&t=0b1c2d3e", '40{{"token":"{token}"}}', "\x1e".join),
}


class RecordedPage:
    def __init__(self, hub, version, token):
        self.query, self.join, self.encode = POLLED[version]
        self.base = f"{hub.url}/socket.io/"
        self.token = token
        self.sid = ""
        self.packets = []
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"Origin": ORIGIN, "Accept": "*/*", "Accept-Encoding": "gzip, deflate, br"})

    def url(self, transport):
        query = self.query.format(token=self.token, transport=transport)
        return f"{self.base}?{query}" + (f"&sid={self.sid}" if self.sid else "")

    def poll(self):
        answer = self.session.get(self.url("polling"), timeout=15)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        text = answer.content.decode()
        if self.query.find("EIO=3") < 0:
            self.packets += text.split("\x1e")
            return
        while text:
            length, text = text.split(":", 1)
            self.packets.append(text[: int(length)])
            text = text[int(length):]

    def post(self, *packets):
        answer = self.session.post(
            self.url("polling"), data=self.encode(packets).encode(),
            headers={"Content-Type": "text/plain;charset=UTF-8"}, timeout=5)
        assert (answer.status_code, answer.text) == (200, "ok")

    def until(self, beginning):
        while not any(packet.startswith(beginning) for packet in self.packets):
            self.poll()
        index = next(index for index, packet in enumerate(self.packets) if packet.startswith(beginning))
        found, self.packets = self.packets[index], self.packets[index + 1:]
        return found

    def open(self):
        opened = json.loads(self.until("0{")[1:])
        assert opened["upgrades"] == ["websocket"]
        self.sid = opened["sid"]
        if self.join:
            self.post(self.join.format(token=self.token))
        self.until("40")
        self.until('42["authenticated",')


@pytest.mark.parametrize("version", POLLED)
def test_recorded_javascript_clients_that_only_poll(hub, version):
    user = hub.user()
    account = user.telegram()
    page = RecordedPage(hub, version, user.token)
    page.open()
    account.say(1, "by polling")
    assert "by polling" in page.until('42["new_message",')
    conversation = json.loads(page.until('42["unread_count_update",')[2:])[1]
    assert conversation["totalUnread"] == 1
    page.post('420["typing",{}]')
    assert '"ok":false' in page.until("430[")
    page.post("41", "1")
    assert page.session.get(page.url("polling"), timeout=5).json() == {"code": 1, "message": "Session ID unknown"}


@pytest.mark.parametrize("version", POLLED)
def test_recorded_javascript_clients_that_upgrade(hub, version):
    user = hub.user()
    account = user.telegram()
    page = RecordedPage(hub, version, user.token)
    page.open()
    held = threading.Thread(target=page.poll)
    held.start()
    connection = websocket.create_connection(
        page.url("websocket").replace("http", "ws", 1), timeout=5, origin=ORIGIN,
        header=["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"])
    try:
        connection.send("2probe")
        assert connection.recv() == "3probe"
        held.join(5)
        assert not held.is_alive() and page.packets == ["6"], "the held poll comes back at once"
        connection.send("5")
        account.say(1, "by WebSocket")
        names = []
        while "unread_count_update" not in names:
            names.append(json.loads(connection.recv()[2:])[0])
        assert "new_message" in names
        assert page.session.get(page.url("polling"), timeout=5).json()["code"] == 3
        connection.send('420["typing",{}]')
        assert connection.recv().startswith('430[{"error":')
        connection.send("41")
        connection.send("1")
    finally:
        connection.close()
