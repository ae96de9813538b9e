"""The hub is killed between sending and recording: nothing is sent twice where the platform can tell, nothing is lost.

KILL_ROUNDS says how often; a handful by default.
"""

import os
import random
import threading
import time

import pytest

from hub import unique, wait_until
from platform_server import PlatformServer
from standardwebhooks import Webhook

ROUNDS = int(os.environ.get("KILL_ROUNDS", "4"))


class Receiver:
    """Takes each webhook id once, and is slow to answer, so that a kill falls between sending and recording."""

    def __init__(self, secret):
        self.secret = secret
        self.said = []
        self.seen = set()
        self.lock = threading.Lock()
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        payload = Webhook(self.secret).verify(call.body, call.headers)
        identifier = call.headers["webhook-id"]
        with self.lock:
            if identifier not in self.seen:
                self.seen.add(identifier)
                self.said.append(payload["message"]["text"])
        time.sleep(0.15)
        return 200, {"messageId": f"out-{identifier}"}


@pytest.mark.timeout(120 + 12 * ROUNDS)
def test_a_platform_with_a_key_gets_every_message_once_and_in_order(own_hub):
    hub = own_hub("outbox-kill")
    user = hub.user()
    account = user.custom()
    account.say("m1")
    place = user.conversations(account=account.id)[0]["id"]
    receiver = Receiver(account.secret)
    dice = random.Random(11)
    wanted = []
    with receiver.server:
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"sendURL": receiver.server.url}})
        for turn in range(ROUNDS):
            for number in range(4):
                text = f"{turn}.{number}"
                key = {"Idempotency-Key": unique("key")}
                user.request(
                    "POST", f"/api/conversations/{place}/messages", expect=201, json={"text": text}, headers=key
                )
                wanted.append(text)
            time.sleep(dice.uniform(0.0, 0.5))
            hub.kill()
            hub.start()
        wait_until(lambda: len(receiver.said) >= len(wanted), 60, f"all of {len(wanted)}")
        wait_until(
            lambda: all(m["status"] == "sent" for m in user.messages(place) if m["direction"] == "outbound"), 30
        )
    assert receiver.said == wanted
    outbound = [m for m in user.messages(place) if m["direction"] == "outbound"]
    assert len(outbound) == len(wanted)
    assert len({m["externalId"] for m in outbound}) == len(wanted)


class Echoing:
    """A bot of a business account: no key of the sender's, but what was sent is told by webhook."""

    def __init__(self):
        self.sent = []
        self.lock = threading.Lock()
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        with self.lock:
            number = 100 + len(self.sent)
            self.sent.append((number, call.json["text"]))
        time.sleep(0.4)
        return 200, {
            "ok": True,
            "result": {
                "message_id": number,
                "business_connection_id": "bc1",
                "date": int(time.time()),
                "chat": {"id": 77, "type": "private", "first_name": "Visitor"},
                "text": call.json["text"],
            },
        }


def business(account, number, text, sender, bot=None):
    message = {
        "message_id": number,
        "business_connection_id": "bc1",
        "date": int(time.time()),
        "from": {"id": sender, "is_bot": False, "first_name": "Somebody"},
        "chat": {"id": 77, "type": "private", "first_name": "Visitor"},
        "text": text,
    }
    if bot:
        message["sender_business_bot"] = {"id": bot, "is_bot": True, "first_name": "Bot"}
    return account.deliver({"update_id": 50_000 + number, "business_message": message})


@pytest.mark.timeout(120 + 12 * ROUNDS)
def test_a_platform_with_an_echo_is_never_asked_twice(own_hub):
    hub = own_hub("echo-kill")
    user = hub.user()
    platform = Echoing()
    with platform.server:
        account = user.telegram()
        user.patch(
            f"/api/accounts/{account.id}", {"credentials": {"botToken": "1:abc", "apiURL": platform.server.url}}
        )
        business(account, 1, "hi", sender=77)
        place = user.conversations(account=account.id)[0]["id"]
        for turn in range(ROUNDS):
            text = f"turn {turn}"
            user.request("POST", f"/api/conversations/{place}/messages", expect=201, json={"text": text})
            wait_until(lambda: platform.sent and platform.sent[-1][1] == text, 20)
            # It went out; the answer is not there yet.
            hub.kill()
            hub.start()
            number, _ = platform.sent[-1]
            business(account, number, text, sender=500, bot=9)
            wait_until(
                lambda: [m["status"] for m in user.messages(place) if m["text"] == text] == ["sent"], 30, text
            )
        texts = [text for _, text in platform.sent]
        assert texts == [f"turn {turn}" for turn in range(ROUNDS)]
