"""Platforms that have to be asked: what comes is stored once, with the place where the next question begins.

The platform is a server written from the Bot API's contract: getUpdates, which confirms what lies before `offset`.
"""

import threading
import time

import pytest

from hub import Hub, unique, wait_until
from platform_server import PlatformServer
from postgres import Cluster


class Updates:
    """getUpdates of many bots: long polling, at most one at a time for each bot."""

    def __init__(self, wait=2.0):
        self.wait = wait
        self.lock = threading.Condition()
        self.updates = {}
        self.open = {}
        self.clashes = 0
        self.polled = {}
        self.failures = []
        self.server = PlatformServer(self.answer)

    def say(self, bot, number, text, chat=1001):
        with self.lock:
            self.updates.setdefault(bot, []).append(
                {
                    "update_id": number,
                    "message": {
                        "message_id": number,
                        "date": int(time.time()),
                        "from": {"id": chat, "is_bot": False, "first_name": "Visitor"},
                        "chat": {"id": chat, "type": "private", "first_name": "Visitor"},
                        "text": text,
                    },
                }
            )
            self.lock.notify_all()

    def answer(self, call):
        bot = call.path.split("/")[1].removeprefix("bot")
        if not call.path.endswith("/getUpdates"):
            return 200, {"ok": True, "result": True}
        if self.failures:
            return self.failures.pop(0)
        offset = call.json.get("offset", 0)
        with self.lock:
            self.open.setdefault(bot, set()).add(call.number)
            if len(self.open[bot]) > 1:
                self.clashes += 1
            self.polled[bot] = time.monotonic()
            deadline = time.monotonic() + self.wait
            while not (found := [u for u in self.updates.get(bot, []) if u["update_id"] >= offset]):
                if not self.lock.wait(deadline - time.monotonic()):
                    break
            self.open.get(bot, set()).discard(call.number)
            return 200, {"ok": True, "result": found[:100]}


@pytest.fixture
def updates():
    made = []

    def make(**options):
        made.append(Updates(**options))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def polled(user, server, bot, **settings):
    return user.post(
        "/api/accounts",
        {
            "platform": "telegram",
            "name": bot,
            "credentials": {"botToken": bot, "apiURL": server.url},
            "settings": {"polling": "on"} | settings,
        },
        expect=201,
    )


def texts(user, account):
    found = []
    for conversation in user.conversations(account=account["id"]):
        found += [message["text"] for message in user.messages(conversation["id"])]
    return found


def test_what_is_polled_is_stored_once_and_pushed(hub, user, updates):
    platform = updates()
    account = polled(user, platform.server, "1:a")
    for number in range(1, 251):
        platform.say("1:a", number, f"text {number}")
    wait_until(lambda: user.unread()["totalUnread"] == 250, 20, "250 messages")
    assert sorted(texts(user, account), key=lambda t: int(t[5:])) == [f"text {n}" for n in range(1, 251)]
    platform.say("1:a", 251, "text 251")
    wait_until(lambda: user.unread()["totalUnread"] == 251, 10)
    news = [e["data"]["message"]["text"] for e in user.events() if e["type"] == "new_message"]
    assert len(news) == len(set(news)) == 251
    assert platform.clashes == 0


def test_a_restart_goes_on_where_it_was(own_hub, updates):
    hub = own_hub("poll-restart")
    user = hub.user()
    platform = updates()
    account = polled(user, platform.server, "1:r")
    platform.say("1:r", 1, "one")
    wait_until(lambda: user.unread()["totalUnread"] == 1, 15)
    hub.kill()
    platform.say("1:r", 2, "two")
    hub.start()
    wait_until(lambda: user.unread()["totalUnread"] == 2, 25, "the second message")
    assert sorted(texts(user, account)) == ["one", "two"]


@pytest.mark.parametrize(
    "failure",
    [
        (429, {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 1}}),
        (429, {"ok": False}, {"Retry-After": "1"}),
        (500, {"ok": False}),
        (502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
        (200, b"not json"),
    ],
)
def test_failures_pass(hub, user, updates, failure):
    platform = updates(wait=0.5)
    platform.failures = [failure]
    polled(user, platform.server, "1:f")
    platform.say("1:f", 1, "after all")
    wait_until(lambda: user.unread()["totalUnread"] == 1, 20)


def test_a_revoked_token_is_told_with_what_to_do(hub, user, updates):
    platform = updates(wait=0.5)
    platform.failures = [(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})]
    account = polled(user, platform.server, "1:x")

    def state():
        return user.get(f"/api/accounts/{account['id']}")

    wait_until(lambda: state()["state"] == "bad_credentials", 15)
    assert "BotFather" in state()["stateAction"]
    platform.say("1:y", 1, "with a new token")
    user.patch(f"/api/accounts/{account['id']}", {"credentials": {"botToken": "1:y"}})
    wait_until(lambda: user.unread()["totalUnread"] == 1, 15)
    assert state()["state"] == "connected"


def test_what_cannot_be_read_is_kept_and_does_not_stop_the_rest(hub, user, updates):
    platform = updates(wait=0.5)
    polled(user, platform.server, "1:d")
    with platform.lock:
        platform.updates["1:d"] = [{"update_id": 1, "message": {"no": "chat"}}]
    platform.say("1:d", 2, "fine")
    wait_until(lambda: user.unread()["totalUnread"] == 1, 15)
    operator = hub.user(user.id, roles=["operator"])
    dead = operator.get("/api/deliveries", state="dead")["items"]
    assert len(dead) == 1 and "message.chat is missing" in dead[0]["reason"]
    again = operator.post(f"/api/deliveries/{dead[0]['id']}/replay")
    assert again["outcome"] == "dead"
    assert user.unread()["totalUnread"] == 1


def test_switched_off_it_stops(hub, user, updates):
    platform = updates(wait=0.3)
    account = polled(user, platform.server, "1:o")
    wait_until(lambda: platform.polled.get("1:o"), 10)
    user.patch(f"/api/accounts/{account['id']}", {"disabled": True})
    time.sleep(2)
    # The poll under way may end; then there is silence.
    platform.say("1:o", 1, "unheard")
    time.sleep(2)
    assert user.unread()["totalUnread"] == 0


def test_killed_between_fetching_and_committing_nothing_is_lost_or_doubled(own_hub, updates):
    """The hub is killed at random moments while messages pour in; each is there once in the end."""
    import os
    import random

    rounds = int(os.environ.get("KILL_ROUNDS", "8"))
    hub = own_hub("poll-kill")
    user = hub.user()
    platform = updates(wait=0.5)
    account = polled(user, platform.server, "1:k")
    stop = threading.Event()
    count = [0]

    def pour():
        while not stop.is_set():
            count[0] += 1
            platform.say("1:k", count[0], f"n{count[0]}", chat=1000 + count[0] % 7)
            time.sleep(0.01)

    thread = threading.Thread(target=pour)
    thread.start()
    dice = random.Random(7)
    try:
        for _ in range(rounds):
            time.sleep(dice.uniform(0.2, 1.5))
            hub.kill()
            hub.start()
    finally:
        stop.set()
        thread.join()
    wait_until(lambda: user.unread()["totalUnread"] == count[0], 40, f"{count[0]} messages")
    found = texts(user, account)
    assert len(found) == len(set(found)) == count[0]


def test_of_three_nodes_one_polls_an_account_and_another_takes_over(updates):
    accounts = 200
    platform = updates(wait=3)
    with Cluster("nodes") as server:
        shared = {"DATABASE_URL": server.url, "JWT_SECRET": unique("secret") * 3, "ENCRYPTION_KEY": "00" * 32, "HUB_SHARDS": "1"}
        hubs = [Hub(f"node{n}", **shared) for n in range(3)]
        try:
            for hub in hubs:
                hub.jwt_secret = shared["JWT_SECRET"]
                hub.start()
            user = hubs[0].user(unique("poller"))
            for number in range(accounts):
                polled(user, platform.server, f"{number}:t")
            wait_until(lambda: len(platform.polled) == accounts, 30, "every account polled")
            time.sleep(3)
            assert platform.clashes == 0
            hubs[1].kill()
            killed = time.monotonic()
            # Connections of the dead end; whoever comes next is alone.
            with platform.lock:
                platform.open.clear()
            wait_until(lambda: all(at > killed for at in platform.polled.values()), 16, "all polled again within 15 s")
            for number in range(accounts):
                platform.say(f"{number}:t", 1, "x", chat=number + 1)
            wait_until(lambda: user.unread()["totalUnread"] == accounts, 20, "a message from each")
            assert platform.clashes == 0
        finally:
            for hub in hubs:
                hub.close()
