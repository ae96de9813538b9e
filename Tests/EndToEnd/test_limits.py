"""What one node was told of limits holds for all of them, for nothing else, and after a restart.

Telegram limits a bot, Meta an app with all its numbers (error 4).
"""

import hashlib
import hmac
import json
import time

import pytest
import requests

from contracts.meta import graph_error
from hub import unique, wait_until
from nodes import nodes
from platform_server import PlatformServer
from test_sending import Telegram, conversation, send, settled, telegram_account


@pytest.fixture(scope="module")
def pair():
    """Two hubs on one database."""
    with nodes("limits", HUB_SHARDS="1") as hubs:
        yield hubs


def moments(bot):
    """Records when each message was asked for. Returns the list."""
    found = []
    answer = bot.answer

    def timed(call):
        if call.path.endswith("/sendMessage"):
            found.append(time.monotonic())
        return answer(call)

    bot.server.answer = timed
    return found


def too_many(seconds):
    return 429, {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests",
        "parameters": {"retry_after": seconds},
    }


def test_a_limit_that_one_node_was_told_holds_for_the_other(pair):
    first, second = pair
    user = first.user()
    there = second.user(user.id)
    bot, other = Telegram([too_many(7)]), Telegram()
    with bot.server, other.server:
        asked = moments(bot)
        account = telegram_account(user, bot.server)
        places = [conversation(user, account, chat) for chat in (1001, 1002, 1003)]
        free = conversation(user, telegram_account(user, other.server), 1004)
        messages = [send(user, places[0], "first")]
        wait_until(lambda: asked, 10)
        told = asked[0]
        time.sleep(1.5)
        # From here on the other node makes the calls: those who ask wake their own.
        messages.append(send(there, places[1], "second"))
        messages.append(send(there, places[2], "third"))
        begin = time.monotonic()
        settled(there, send(there, free, "not limited"), "sent", 5)
        assert time.monotonic() - begin < 3, "another account had to wait"
        for message in messages:
            settled(there, message, "sent", 25)
        assert [moment - told for moment in asked[1:] if moment - told < 6.9] == []


def test_a_limit_is_known_after_a_restart(pair):
    first, second = pair
    user = first.user()
    bot = Telegram([too_many(12)])
    with bot.server:
        asked = moments(bot)
        account = telegram_account(user, bot.server)
        places = [conversation(user, account, chat) for chat in (1001, 1002)]
        messages = [send(user, places[0], "first")]
        wait_until(lambda: asked, 10)
        told = asked[0]
        time.sleep(1.5)
        for hub in pair:
            hub.kill()
        for hub in pair:
            hub.start()
        messages.append(send(user, places[1], "second"))
        for message in messages:
            settled(user, message, "sent", 40)
        assert [moment - told for moment in asked[1:] if moment - told < 11.9] == []


class Number:
    """One number of an app on Meta's Cloud API: several have the app's secret in common."""

    def __init__(self, app_secret, phone):
        self.app_secret = app_secret
        self.phone = phone
        self.script = []
        self.asked = []
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        self.asked.append(time.monotonic())
        if self.script:
            return self.script.pop(0)
        person = call.json["to"]
        made = {"messaging_product": "whatsapp", "contacts": [{"input": person, "wa_id": person}]}
        return 200, made | {"messages": [{"id": f"wamid.{unique('out')}"}]}

    def connect(self, hub, user):
        credentials = {
            "phoneNumberId": self.phone,
            "appSecret": self.app_secret,
            "accessToken": "EAAtoken",
            "apiURL": self.server.url,
        }
        body = {"platform": "whatsapp", "name": self.phone, "credentials": credentials}
        account = user.post("/api/accounts", body, expect=201)
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": self.phone, "phone_number_id": self.phone},
            "contacts": [{"profile": {"name": "Sheena"}, "wa_id": "16505551234"}],
            "messages": [
                {
                    "from": "16505551234",
                    "id": f"wamid.{unique('in')}",
                    "timestamp": str(int(time.time())),
                    "type": "text",
                    "text": {"body": "hello"},
                }
            ],
        }
        entry = [{"id": "1", "changes": [{"field": "messages", "value": value}]}]
        body = json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()
        code = hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={code}"}
        url = f"{hub.url}/webhooks/whatsapp/{account['accountKey']}"
        requests.post(url, data=body, headers=headers, timeout=10).raise_for_status()
        return user.conversations(account=account["id"])[0]["id"]


def test_a_limit_of_an_app_holds_for_its_numbers_on_all_nodes(pair):
    first, second = pair
    user = first.user()
    there = second.user(user.id)
    numbers = [
        Number("a" * 32, "15550001111"),
        Number("a" * 32, "15550002222"),
        Number("b" * 32, "15550003333"),
    ]
    with numbers[0].server, numbers[1].server, numbers[2].server:
        places = [number.connect(first, user) for number in numbers]
        numbers[0].script = [graph_error(400, 4, "(#4) Application request limit reached", Retry_After="7")]
        limited = send(user, places[0], "first")
        wait_until(lambda: numbers[0].asked, 10)
        told = numbers[0].asked[0]
        time.sleep(1.5)
        held = send(there, places[1], "held")
        settled(there, send(there, places[2], "of another app"), "sent", 4)
        for message in (limited, held):
            settled(there, message, "sent", 25)
        again = [moment - told for number in numbers[:2] for moment in number.asked if moment > told]
        assert len(again) == 2 and min(again) >= 6.9, again
        # What names an app may be a secret: it is nowhere to be read.
        with first.database() as database:
            rows = database.execute("SELECT name FROM pauses").fetchall()
        assert rows and all(b"a" * 32 not in bytes(name) for (name,) in rows)


@pytest.mark.parametrize(
    "wait, header",
    [
        (315_360_000, None),
        (1e300, None),
        (None, "315360000"),
        (None, "Fri, 31 Dec 2100 23:59:59 GMT"),
    ],
)
def test_no_limit_is_longer_than_an_hour(pair, wait, header):
    user = pair[0].user()
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests"}
    if wait is not None:
        body["parameters"] = {"retry_after": wait}
    bot = Telegram([(429, body, {"Retry-After": header} if header else {})])
    with bot.server:
        asked = moments(bot)
        place = conversation(user, telegram_account(user, bot.server))
        message = send(user, place)
        wait_until(lambda: asked, 10)
        time.sleep(2)
        assert len(asked) == 1 and user.get(f"/api/messages/{message['id']}")["status"] == "queued"
        with pair[0].database() as database:
            query = "SELECT extract(epoch FROM due_at - now())::float FROM outbox WHERE message_id = %s"
            [(left,)] = database.execute(query, [message["id"]]).fetchall()
            [(until,)] = database.execute(
                "SELECT max(extract(epoch FROM until - now()))::float FROM pauses"
            ).fetchall()
        assert 3_500 < left <= 3_600 and until <= 3_600


@pytest.mark.parametrize(
    "wait, header",
    [
        (0, None),
        (-5, None),
        ("soon", None),
        (None, "-5"),
        (None, "soon"),
        (None, "0"),
        (None, "Sat, 01 Jan 2000 00:00:00 GMT"),
    ],
)
def test_a_limit_of_no_time_is_no_invitation(pair, wait, header):
    """Refusals in a row that name no time, or one that is over: nobody is asked more than once a second."""
    user = pair[0].user()
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests"}
    if wait is not None:
        body["parameters"] = {"retry_after": wait}
    bot = Telegram([(429, body, {"Retry-After": header} if header is not None else {})] * 3)
    with bot.server:
        asked = moments(bot)
        place = conversation(user, telegram_account(user, bot.server))
        settled(user, send(user, place), "sent", 30)
        gaps = [after - before for before, after in zip(asked, asked[1:])]
        assert len(gaps) == 3 and min(gaps) > 0.9, gaps
