"""Platforms with webhooks and history: what an outage lost is found, what was before is imported, nothing is doubled.

The workspace is written from Slack's published methods: auth.test, users.conversations, conversations.history with
`oldest` and pages, and signed events.
"""

import hashlib
import hmac
import json
import secrets
import time

import pytest
import requests

from hub import wait_until
from platform_server import CUT, PlatformServer

CHANNEL, BOT, PERSON = "C1", "UBOT", "U1"


class Workspace:
    def __init__(self, page=50):
        self.team = "T" + secrets.token_hex(4).upper()
        self.page = page
        self.messages = []
        self.count = 0
        self.server = PlatformServer(self.answer)

    def post(self, text, at=None):
        """A message in the channel, as history shows it."""
        self.count += 1
        stamp = f"{int(at if at is not None else time.time())}.{self.count:06d}"
        message = {"type": "message", "user": PERSON, "text": text, "ts": stamp}
        self.messages.append(message)
        return message

    def answer(self, call):
        method = call.path.rsplit("/", 1)[1]
        query = call.query or call.form
        if method == "auth.test":
            return 200, {"ok": True, "team_id": self.team, "user_id": BOT, "bot_id": "B1"}
        if method == "users.conversations":
            channel = {"id": CHANNEL, "name": "general", "is_channel": True, "is_member": True, "created": 1, "updated": 1}
            return 200, {"ok": True, "channels": [channel], "response_metadata": {"next_cursor": ""}}
        if method == "conversations.history":
            oldest = float(query.get("oldest") or 0)
            latest = float(query.get("latest") or 1e12)
            found = sorted(
                (m for m in self.messages if oldest < float(m["ts"]) < latest), key=lambda m: m["ts"], reverse=True
            )
            start = int(query.get("cursor") or 0)
            part = found[start : start + self.page]
            more = start + self.page < len(found)
            return 200, {
                "ok": True,
                "messages": part,
                "has_more": more,
                "response_metadata": {"next_cursor": str(start + self.page) if more else ""},
            }
        return 200, {"ok": True, "messages": []}


def connect(hub, user, workspace, **settings):
    secret = secrets.token_hex(16)
    account = user.post(
        "/api/accounts",
        {
            "platform": "slack",
            "name": "Team",
            "credentials": {
                "signingSecret": secret,
                "botToken": "xoxb-1",
                "teamId": workspace.team,
                "apiURL": f"{workspace.server.url}/api",
            },
            "settings": settings,
        },
        expect=201,
    )
    return account, secret


def event(hub, account, secret, message):
    body = json.dumps(
        {
            "type": "event_callback",
            "team_id": account["externalId"],
            "api_app_id": "A1",
            "event_id": f"Ev{message['ts']}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": account["externalId"], "user_id": BOT, "is_bot": True}],
            "event": message | {"channel": CHANNEL, "channel_type": "channel", "event_ts": message["ts"]},
        }
    ).encode()
    stamp = str(int(time.time()))
    signature = "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    response = requests.post(
        f"{hub.url}/webhooks/slack/{account['accountKey']}",
        data=body,
        headers={
            "Content-Type": "application/json",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": signature,
        },
        timeout=10,
    )
    assert response.status_code == 200, response.text


def texts(user, account):
    found = []
    for conversation in user.conversations(account=account["id"]):
        found += [message["text"] for message in user.messages(conversation["id"])]
    return found


@pytest.fixture(scope="module")
def sweeping():
    from hub import Hub

    hub = Hub("sweep", SWEEP_INTERVAL="2")
    try:
        yield hub.start()
    finally:
        hub.close()


def test_a_sweep_finds_what_no_webhook_told(sweeping):
    hub = sweeping
    user = hub.user()
    workspace = Workspace()
    with workspace.server:
        account, secret = connect(hub, user, workspace)
        event(hub, account, secret, workspace.post("told"))
        for number in range(120):
            workspace.post(f"missed {number}")
        event(hub, account, secret, workspace.post("told too"))
        wait_until(lambda: len(texts(user, account)) == 122, 30, "122 messages")
        time.sleep(3)
        assert sorted(texts(user, account)) == sorted(m["text"] for m in workspace.messages)
        assert user.unread()["totalUnread"] == 122
        news = [e["data"]["message"]["text"] for e in user.events() if e["type"] == "new_message"]
        assert len(news) == len(set(news)) == 122
        polling = user.get(f"/api/accounts/{account['id']}")["polling"]
        assert polling["role"] == "sweep" and polling["recoveredBySweep"] == 120
        # It is in the metrics too, which are looked up every half minute.
        def counted():
            lines = hub.request("GET", "/metrics").text.splitlines()
            return any(
                line.startswith('hub_recovered_by_sweep_messages{platform="slack"}') and float(line.split()[-1]) >= 120
                for line in lines
            )

        wait_until(counted, 45, "the metric", 0.5)
        # The webhook that comes late after all changes nothing.
        event(hub, account, secret, workspace.messages[5])
        assert len(texts(user, account)) == 122


def test_history_is_imported_with_its_times_and_is_nobodys_unread(sweeping):
    hub = sweeping
    user = hub.user()
    workspace = Workspace()
    now = time.time()
    for number in range(130):
        workspace.post(f"old {number}", at=now - 86_400 * 2 + number)
    workspace.post("too old", at=now - 86_400 * 40)
    with workspace.server:
        account, secret = connect(hub, user, workspace, polling="on", historyDays=30)
        wait_until(
            lambda: user.get(f"/api/accounts/{account['id']}")["polling"]["history"] == "done", 40, "the history"
        )
        assert sorted(texts(user, account)) == sorted(f"old {n}" for n in range(130))
        assert user.unread()["totalUnread"] == 0
        assert [e for e in user.events() if e["type"] in ("new_message", "unread_count_update")] == []
        place = user.conversations(account=account["id"])[0]
        first = user.messages(place["id"])[-1]
        assert first["sentAt"].startswith(time.strftime("%Y-%m-%dT%H", time.gmtime(now - 86_400 * 2)))
        # What is new is unread and pushed.
        event(hub, account, secret, workspace.post("new"))
        assert user.unread()["totalUnread"] == 1
        assert user.conversations(account=account["id"])[0]["unreadCount"] == 1
        checked = hub.command("verify", "unread")
        assert checked.returncode == 0


def test_history_goes_on_after_the_hub_was_killed_in_its_middle(own_hub):
    hub = own_hub("history-kill")
    user = hub.user()
    workspace = Workspace(page=10)
    now = time.time()
    for number in range(400):
        workspace.post(f"old {number}", at=now - 86_400 * 3 + number)
    # So many pages take a while.
    plain = workspace.answer
    pages = []

    def slow(call):
        if call.path.endswith("conversations.history"):
            time.sleep(0.1)
            pages.append((call.query or call.form).get("cursor") or (call.query or call.form).get("latest"))
        return plain(call)

    workspace.server.answer = slow
    with workspace.server:
        account, secret = connect(hub, user, workspace, polling="on", historyDays=30)
        for turn in range(1, 5):
            wait_until(lambda: len(texts(user, account)) >= 60 * turn, 40, f"{60 * turn} messages")
            hub.kill()
            hub.start()
        # While it goes on, news come.
        event(hub, account, secret, workspace.post("new"))
        polling = lambda: user.get(f"/api/accounts/{account['id']}")["polling"]
        assert polling()["history"] == "due"
        wait_until(lambda: polling()["history"] == "done", 60, "the history")
        assert sorted(texts(user, account)) == sorted([f"old {n}" for n in range(400)] + ["new"])
        assert user.unread()["totalUnread"] == 1
        news = [e["data"]["message"]["text"] for e in user.events() if e["type"] == "new_message"]
        assert news == ["new"]
        place = user.conversations(account=account["id"])[0]
        assert place["unreadCount"] == 1
        by_text = {m["text"]: m["sentAt"] for m in user.messages(place["id"])}
        for message in workspace.messages[::37]:
            wanted = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(message["ts"].split(".")[0])))
            assert by_text[message["text"]].startswith(wanted)
        # It went on where it was: a page more for each kill, and not from the beginning.
        assert len(pages) < 40 * 2, len(pages)
        assert hub.command("verify", "unread").returncode == 0


@pytest.mark.parametrize("polling", ["on", "auto"])
def test_webhook_and_reading_at_once_double_nothing(sweeping, polling):
    """Each message is told two or three times, by several deliveries at once, while it is read."""
    import random
    from concurrent.futures import ThreadPoolExecutor

    hub = sweeping
    user = hub.user()
    workspace = Workspace(page=20)
    dice = random.Random(3)
    with workspace.server, ThreadPoolExecutor(6) as pool:
        account, secret = connect(hub, user, workspace, polling=polling)
        # The workspace's times are of whole seconds: what is said in this one would be from before.
        time.sleep(1.1)
        told = []
        for number in range(150):
            message = workspace.post(f"n{number}")
            # Some no webhook tells of, some several.
            for _ in range(dice.choice([0, 1, 1, 2, 3])):
                told.append(pool.submit(event, hub, account, secret, message))
            time.sleep(0.03)
        for one in told:
            one.result()
        wait_until(lambda: len(texts(user, account)) >= 150, 70, "150 messages")
        time.sleep(5)
        found = texts(user, account)
        assert len(found) == len(set(found)) == 150
        assert user.unread()["totalUnread"] == 150
        news = [e["data"]["message"]["text"] for e in user.events() if e["type"] == "new_message"]
        assert len(news) == len(set(news)) == 150
        state = user.get(f"/api/accounts/{account['id']}")["polling"]
        assert state["role"] == ("live" if polling == "on" else "sweep")
        counted = state["recoveredBySweep"]
        assert (counted == 0) if polling == "on" else (0 < counted <= 150)
        assert hub.command("verify", "unread").returncode == 0


def test_a_message_of_which_nobody_knows_is_looked_for(own_hub):
    """Its call had no answer, no webhook tells of it, and the next sweep would be after it was given up."""
    hub = own_hub("doubted")
    user = hub.user()
    workspace = Workspace()
    plain = workspace.answer
    posted = []

    def swallowing(call):
        if not call.path.endswith("chat.postMessage"):
            return plain(call)
        posted.append(call.json)
        message = workspace.post(call.json["text"]) | {"bot_id": "B1", "user": BOT, "metadata": call.json["metadata"]}
        workspace.messages[-1] = message
        return CUT

    workspace.server.answer = swallowing
    with workspace.server:
        account, secret = connect(hub, user, workspace)
        event(hub, account, secret, workspace.post("hello"))
        wait_until(lambda: user.get(f"/api/accounts/{account['id']}")["polling"]["polledAt"], 20, "the first sweep")
        time.sleep(1.1)
        place = user.conversations(account=account["id"])[0]["id"]
        message = user.post(f"/api/conversations/{place}/messages", {"text": "is it there?"}, expect=201)
        state = lambda: user.get(f"/api/messages/{message['id']}")
        wait_until(lambda: state()["status"] == "unknown", 20)
        begin = time.monotonic()
        wait_until(lambda: state()["status"] == "sent", 40, "the message is found")
        assert time.monotonic() - begin < 35
        assert state()["externalId"] == workspace.messages[-1]["ts"] and len(posted) == 1
        assert len(user.messages(place)) == 2
        # Nothing was recovered: it was the hub's own.
        assert user.get(f"/api/accounts/{account['id']}")["polling"]["recoveredBySweep"] == 0
