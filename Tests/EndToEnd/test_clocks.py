"""A hub whose clock is wrong by ten minutes: what is due is due by the database's clock, and what a platform
says of its own time by the platform's. Accounts, messages and files wait neither longer nor shorter than they
should."""

import threading
import time
from email.utils import formatdate

import pytest

from hub import Hub, wait_until, wrong_clock
from platform_server import CUT, PlatformServer
from postgres import Cluster
from test_polling import Updates, polled
from test_sending import Telegram, conversation, send, settled, status, telegram_account
from test_tokens import Rotating, connect


@pytest.fixture(scope="module", params=[600, -600])
def wrong(request):
    with Cluster("clock") as server:
        hub = Hub("clock", DATABASE_URL=server.url, SWEEP_INTERVAL="1", ALLOW_PRIVATE_ADDRESSES="yes")
        hub.environment |= wrong_clock(request.param)
        try:
            hub.start()
            # Tokens are of the hub's own time.
            now = int(time.time()) + request.param
            yield hub, hub.user(iat=now - 5, exp=now + 3_600)
        finally:
            hub.close()


def timed(steps):
    """The steps as a script, with the moments at which they were asked for."""
    moments = []

    def step(answer):
        def run(call):
            moments.append(time.monotonic())
            return answer() if callable(answer) else answer

        return run

    return [step(answer) for answer in steps], moments


def test_the_clock_is_wrong(wrong):
    hub, user = wrong
    stamp = user.telegram().json["createdAt"]
    assert abs(time.time() - time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 60
    answer = hub.request("GET", "/health")
    apart = (
        time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
        - time.timezone
        - time.time()
    )
    assert abs(apart) > 500


def test_a_message_is_tried_again_in_time(wrong):
    hub, user = wrong
    busy = (503, {"ok": False, "error_code": 503, "description": "busy"})
    script, moments = timed([busy, busy, busy, lambda: (200, bot_answer())])
    bot = Telegram(script)
    with bot.server:
        place = conversation(user, telegram_account(user, bot.server))
        message = send(user, place)
        settled(user, message, "sent", 30)
    # Half a second, one and two at least.
    assert moments[3] - moments[0] >= 3.4
    assert moments[3] - moments[0] <= 20


def bot_answer():
    chat = {"id": 1001, "type": "private", "first_name": "Visitor"}
    return {"ok": True, "result": {"message_id": 9, "date": int(time.time()), "chat": chat, "text": "hello"}}


def test_an_unknown_message_is_waited_for(wrong):
    hub, user = wrong
    bot = Telegram([CUT])
    with bot.server:
        place = conversation(user, telegram_account(user, bot.server))
        message = send(user, place)
        settled(user, message, "unknown")
        time.sleep(12)
        assert status(user, message)["status"] == "unknown"


def test_a_date_in_retry_after_is_the_platforms(wrong):
    hub, user = wrong
    busy = lambda: (429, b"", {"Retry-After": formatdate(time.time() + 4, usegmt=True)})
    script, moments = timed([busy, lambda: (200, bot_answer())])
    bot = Telegram(script)
    with bot.server:
        place = conversation(user, telegram_account(user, bot.server))
        settled(user, send(user, place), "sent", 30)
    assert 2.9 <= moments[1] - moments[0] <= 12


def test_a_file_is_tried_again_in_time(wrong):
    hub, user = wrong
    moments = []

    def answer(call):
        moments.append(time.monotonic())
        if len(moments) == 1:
            return 503, b"busy", {"Content-Type": "text/plain"}
        return 200, b"words", {"Content-Type": "text/plain"}

    server = PlatformServer(answer)
    with server:
        account = user.custom()
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"sendURL": server.url}})
        now = time.time() + (600 if "+600s" in hub.environment["FAKETIME"] else -600)
        file = {"kind": "file", "url": f"{server.url}/a.txt", "name": "a.txt", "mime": "text/plain"}
        headers, body = account.signed(account.message("m1", attachments=[file]), timestamp=int(now))
        account.session.post(
            hub.url + account.path, data=body, headers=headers, timeout=10
        ).raise_for_status()
        place = user.conversations(account=account.id)[0]["id"]
        wait_until(lambda: user.messages(place)[0]["attachments"][0]["state"] == "stored", 20, "the file")
    assert 0.9 <= moments[1] - moments[0] <= 15


def test_accounts_are_polled_and_tokens_last(wrong):
    hub, user = wrong
    platform, rotating = Updates(wait=0.5), Rotating(lifetime=3_600)
    with platform.server, rotating.server:
        polled(user, platform.server, "1:c")
        account = connect(user, rotating)
        for number in range(1, 6):
            platform.say("1:c", number, f"text {number}")
            time.sleep(0.5)
        wait_until(lambda: user.unread(), 15)
        wait_until(lambda: platform.updates["1:c"] and rotating.calls >= 6, 20, "calls")
        texts = lambda: [
            c["unreadCount"]
            for c in user.conversations()
            if c["externalId"] == "1001" and c["unreadCount"] == 5
        ]
        wait_until(texts, 15, "five messages")
        assert rotating.renewals == 1 and rotating.reused == 0 and rotating.refused == 0
        assert user.get(f"/api/accounts/{account['id']}")["state"] == "connected"
