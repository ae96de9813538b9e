"""A node that stands still (SIGSTOP) loses what it held to another, and finds that out when it goes on."""

import os
import shutil
import signal
import tempfile
import threading
import time

import psycopg
import pytest

from hub import Hub, unique, wait_until
from platform_server import PlatformServer
from postgres import Cluster
from test_polling import Updates, polled, texts
from test_sending import send, settled, status, telegram_account


class Nodes:
    """Hubs on one database, started one after the other."""

    def __init__(self, server):
        self.url = server.url
        self.files = tempfile.mkdtemp(prefix="e2e-frozen-files-", dir="/tmp")
        self.shared = {
            "DATABASE_URL": server.url,
            "JWT_SECRET": unique("secret") * 3,
            "ENCRYPTION_KEY": "22" * 32,
            "FILES_FOLDER": self.files,
            "HUB_SHARDS": "1",
        }
        self.hubs = []

    def start(self):
        hub = Hub(f"frozen{len(self.hubs)}", **self.shared)
        hub.jwt_secret = self.shared["JWT_SECRET"]
        self.hubs.append(hub)
        return hub.start()

    def query(self, text, *values):
        with psycopg.connect(self.url, autocommit=True) as database:
            return database.execute(text, values).fetchall()

    def close(self):
        for hub in self.hubs:
            if hub.process is not None:
                os.kill(hub.pid, signal.SIGCONT)
            hub.close()
        shutil.rmtree(self.files, ignore_errors=True)


def freeze(hub):
    os.kill(hub.pid, signal.SIGSTOP)


def thaw(hub):
    os.kill(hub.pid, signal.SIGCONT)


@pytest.fixture
def nodes():
    with Cluster("frozen") as server:
        made = Nodes(server)
        try:
            yield made
        finally:
            made.close()


def test_a_node_that_stood_still_reads_no_longer_and_stores_nothing(nodes):
    platform = Updates(wait=1.0)
    with platform.server:
        first = nodes.start()
        user = first.user()
        account = polled(user, platform.server, "1:f")
        platform.say("1:f", 1, "one")
        wait_until(lambda: user.unread()["totalUnread"] == 1, 15)
        second = nodes.start()
        there = second.user(user.id)
        # A question is on its way, and its answer finds nobody who would take it.
        count = len(platform.server.calls)
        wait_until(lambda: len(platform.server.calls) > count, 10)
        freeze(first)
        platform.say("1:f", 2, "two")
        wait_until(lambda: there.unread()["totalUnread"] == 2, 20, "the other node reads")
        platform.say("1:f", 3, "three")
        wait_until(lambda: there.unread()["totalUnread"] == 3, 10)
        time.sleep(15)
        with platform.lock:
            platform.open.clear()
            platform.clashes = 0
        lines = nodes.query("SELECT count(*) FROM deliveries")
        thaw(first)
        time.sleep(6)
        platform.say("1:f", 4, "four")
        wait_until(lambda: there.unread()["totalUnread"] == 4, 10)
        time.sleep(3)
        assert platform.clashes == 0, "both nodes asked"
        assert sorted(texts(there, account)) == ["four", "one", "three", "two"]
        # The page that the first had in its hands is in no line of the ledger.
        assert nodes.query("SELECT count(*) FROM deliveries") == [(lines[0][0] + 1,)]
        assert there.get(f"/api/accounts/{account['id']}")["state"] == "connected"


class Slow:
    """The Bot API, which answers to a message when it is let."""

    def __init__(self):
        self.sent = []
        self.gate = threading.Event()
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        method = call.path.rsplit("/", 1)[1]
        if not method.startswith("send") or method == "sendChatAction":
            return 200, {"ok": True, "result": True}
        number = 9000 + len(self.sent)
        self.sent.append(call.json["text"])
        self.gate.wait(60)
        chat = {"id": int(call.json["chat_id"]), "type": "private", "first_name": "Visitor"}
        result = {"message_id": number, "date": int(time.time()), "chat": chat, "text": call.json["text"]}
        return 200, {"ok": True, "result": result}


def place_of(user, account):
    account.say(1, chat=1001, date=int(time.time()))
    return wait_until(lambda: user.conversations(account=account.id))[0]["id"]


@pytest.mark.parametrize("given_up", [False, True])
def test_an_answer_that_comes_late_still_counts(nodes, given_up):
    """The node that sent stood still; another took the message for unknown, or gave it up."""
    platform = Slow()
    with platform.server:
        first = nodes.start()
        user = first.user()
        account = telegram_account(user, platform.server)
        place = place_of(user, account)
        message = send(user, place, "hello")
        wait_until(lambda: platform.sent, 10, "the call")
        second = nodes.start()
        there = second.user(user.id)
        freeze(first)
        platform.gate.set()
        settled(there, message, "unknown", 25)
        if given_up:
            nodes.query("UPDATE outbox SET due_at = now() WHERE state = 'unknown' RETURNING 1")
            settled(there, message, "failed", 15)
        thaw(first)
        found = settled(there, message, "sent", 15)
        assert found["externalId"] == "9000" and found.get("statusReason") is None
        time.sleep(2)
        assert platform.sent == ["hello"]
        assert nodes.query("SELECT state FROM outbox") == [("done",)]
        assert nodes.query("SELECT count(*) FROM statuses WHERE status = 'failed'") == [(0,)]


class Uploading:
    """Slack's upload of a file in steps: what is seen is made by the last."""

    def __init__(self):
        self.team = "T" + unique("x")[-8:].upper()
        self.gate = threading.Event()
        self.asked = 0
        self.shown = []
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        method = call.path.rsplit("/", 1)[1]
        if method == "files.getUploadURLExternal":
            self.asked += 1
            if self.asked == 1:
                self.gate.wait(120)
            return 200, {
                "ok": True,
                "upload_url": f"{self.server.url}/upload/{self.asked}",
                "file_id": f"F{self.asked}",
            }
        if "/upload/" in call.path:
            return 200, b"OK"
        if method == "files.completeUploadExternal":
            self.shown.append(call.body)
            return 200, {"ok": True, "files": [{"id": f"F{self.asked}"}]}
        return 200, {
            "ok": True,
            "team_id": self.team,
            "user_id": "UBOT",
            "bot_id": "B1",
            "channels": [],
            "messages": [],
        }


def test_a_node_that_stood_still_before_its_call_does_not_make_it(nodes):
    """It had begun the steps; meanwhile the message was given up and sent again by hand from another node."""
    import test_sweep as slack

    platform = Uploading()
    with platform.server:
        first = nodes.start()
        user = first.user()
        account, secret = slack.connect(first, user, platform, polling="off")
        stamp = f"{int(time.time())}.000001"
        slack.event(first, account, secret, {"type": "message", "user": "U1", "text": "hi", "ts": stamp})
        place = user.conversations(account=account["id"])[0]["id"]
        upload = user.request(
            "POST",
            "/api/uploads?name=a.txt",
            expect=201,
            data=b"text",
            headers={"Content-Type": "text/plain"},
        ).json()
        body = {"text": "a file", "attachments": [{"uploadId": upload["uploadId"]}]}
        message = user.post(f"/api/conversations/{place}/messages", body, expect=201)
        wait_until(lambda: platform.asked, 10, "the first step")
        second = nodes.start()
        there = second.user(user.id)
        freeze(first)
        platform.gate.set()
        settled(there, message, "unknown", 25)
        nodes.query("UPDATE outbox SET due_at = now() WHERE state = 'unknown' RETURNING 1")
        settled(there, message, "failed", 15)
        there.post(f"/api/messages/{message['id']}/retry")
        wait_until(lambda: len(platform.shown) == 1, 15, "the other node sends it")
        thaw(first)
        time.sleep(5)
        assert len(platform.shown) == 1, "sent twice"
        assert status(there, message)["status"] in ("sent", "queued", "unknown")
