"""Clients of Engine.IO 3 against the hub: the stock library of then, and recorded requests of others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
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
