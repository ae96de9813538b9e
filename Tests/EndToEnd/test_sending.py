"""Users answer from the hub: the message is there at once, goes out once, and its fate is told.

The platforms here are servers written from the published contracts: Telegram's Bot API, and a receiver of Standard
Webhooks for `custom`.
"""

import asyncio
import threading
import time
import uuid

import pytest
from standardwebhooks import Webhook

from hub import assert_problem, unique, wait_until
from platform_server import CUT, HANG, PlatformServer
from screen import open_screen


class Telegram:
    """The Bot API as far as sending needs it."""

    def __init__(self, script=None):
        self.sent = []
        self.script = list(script or [])
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        if self.script:
            step = self.script.pop(0)
            if step is not None:
                return step(call) if callable(step) else step
        method = call.path.rsplit("/", 1)[1]
        if method.startswith("send") and method != "sendChatAction":
            number = 9000 + len(self.sent)
            self.sent.append(call)
            body = call.json if call.headers["content-type"] == "application/json" else {"chat_id": 1001}
            chat = int(body["chat_id"])
            return 200, {
                "ok": True,
                "result": {
                    "message_id": number,
                    "date": int(time.time()),
                    "chat": {"id": chat, "type": "private", "first_name": "Visitor"},
                    "text": body.get("text", ""),
                },
            }
        return 200, {"ok": True, "result": True}


@pytest.fixture
def telegram():
    made = []

    def make(script=None):
        made.append(Telegram(script))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def connect(user, platform_url, platform="telegram", **credentials):
    body = {"platform": platform, "name": "Support", "credentials": {"apiURL": platform_url} | credentials}
    return user.post("/api/accounts", body, expect=201)


def telegram_account(user, server):
    account = user.telegram()
    user.patch(f"/api/accounts/{account.id}", {"credentials": {"botToken": "1:abc", "apiURL": server.url}})
    return account


def conversation(user, account, chat=1001):
    account.say(1, chat=chat, date=int(time.time()))
    return wait_until(lambda: [c for c in user.conversations(account=account.id) if c["externalId"] == str(chat)])[0]["id"]


def send(user, conversation, text="hello", expect=201, headers=None, **more):
    response = user.request(
        "POST", f"/api/conversations/{conversation}/messages", expect=expect, json={"text": text} | more, headers=headers or {}
    )
    return response.json()


def status(user, message):
    return user.get(f"/api/messages/{message['id']}")


def settled(user, message, wanted, seconds=15):
    return wait_until(
        lambda: (m := status(user, message))["status"] == wanted and m, seconds, f"status {wanted} of {status(user, message)}"
    )


def test_a_text_goes_out_once_and_its_fate_is_told(hub, user, telegram):
    bot = telegram()
    account = telegram_account(user, bot.server)
    place = conversation(user, account)
    before = user.events()[-1]["seq"]
    message = send(user, place, "Grüße 👋")
    assert (message["status"], message["direction"], message["externalId"]) == ("queued", "outbound", None)
    sent = settled(user, message, "sent")
    assert sent["externalId"] == "9000"
    assert [call.json["text"] for call in bot.sent] == ["Grüße 👋"]
    assert bot.sent[0].json["chat_id"] == 1001
    events = user.events(before)
    kinds = [(e["type"], e["data"].get("status")) for e in events if e["type"] != "conversation_update"]
    assert kinds == [("new_message", None), ("message_update", None), ("message_status_update", "sent")], events
    assert user.unread()["totalUnread"] == 1


def test_one_key_is_one_message(hub, user, telegram):
    bot = telegram()
    place = conversation(user, telegram_account(user, bot.server))
    key = {"Idempotency-Key": unique("key")}
    first = send(user, place, "once", headers=key)
    again = send(user, place, "once", headers=key, expect=200)
    assert again["id"] == first["id"]
    other = user.request(
        "POST", f"/api/conversations/{place}/messages", json={"text": "other"}, headers=key
    )
    assert assert_problem(other, 409)["code"] == "idempotency_conflict"
    settled(user, first, "sent")
    assert len(bot.sent) == 1


def test_twenty_at_once_with_one_key_are_one_message(hub, user, telegram):
    bot = telegram()
    place = conversation(user, telegram_account(user, bot.server))
    key = {"Idempotency-Key": unique("key")}
    ids, lock = [], threading.Lock()

    def one():
        response = hub.request(
            "POST", f"/api/conversations/{place}/messages", token=user.token, json={"text": "storm"}, headers=key
        )
        with lock:
            ids.append((response.status_code, response.json()["id"]))

    threads = [threading.Thread(target=one) for _ in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted({code for code, _ in ids}) == [200, 201]
    assert len({identifier for _, identifier in ids}) == 1
    time.sleep(0.5)
    assert len(bot.sent) == 1


def test_order_within_a_conversation_is_kept_while_the_first_is_retried(hub, user, telegram):
    busy = (429, {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1}})
    bot = telegram([busy, busy])
    place = conversation(user, telegram_account(user, bot.server))
    messages = [send(user, place, f"part {n}") for n in range(5)]
    for message in messages:
        settled(user, message, "sent")
    assert [call.json["text"] for call in bot.sent] == [f"part {n}" for n in range(5)]


@pytest.mark.parametrize(
    "answer",
    [
        (429, {"ok": False}, {"Retry-After": "1"}),
        (503, {"ok": False}, {"Retry-After": "1"}),
        (503, b"<html>busy</html>", {"Content-Type": "text/html"}),
    ],
)
def test_refused_for_now_is_sent_later(hub, user, telegram, answer):
    bot = telegram([answer])
    place = conversation(user, telegram_account(user, bot.server))
    settled(user, send(user, place), "sent")
    assert len(bot.sent) == 1


def test_a_refusal_is_final_and_says_why(hub, user, telegram):
    blocked = (403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"})
    bot = telegram([blocked])
    place = conversation(user, telegram_account(user, bot.server))
    message = send(user, place)
    failed = settled(user, message, "failed")
    assert failed["statusReason"] == "Forbidden: bot was blocked by the user"
    assert failed["canRetry"] is False
    update = [e for e in user.events() if e["type"] == "message_status_update"][-1]["data"]
    assert (update["status"], update["reason"], update["canRetry"]) == ("failed", failed["statusReason"], False)
    # By hand it can be tried all the same.
    user.post(f"/api/messages/{message['id']}/retry")
    settled(user, message, "sent")
    assert user.request("POST", f"/api/messages/{message['id']}/retry").status_code == 409


def test_a_revoked_token_needs_a_person(hub, user, telegram):
    bot = telegram([(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})])
    account = telegram_account(user, bot.server)
    place = conversation(user, account)
    message = send(user, place)
    assert settled(user, message, "failed")["canRetry"] is True
    record = user.get(f"/api/accounts/{account.id}")
    assert (record["state"], record["stateReason"]) == ("bad_credentials", "Unauthorized")
    assert "BotFather" in record["stateAction"]
    assert [e for e in user.events() if e["type"] == "account_update"][-1]["data"]["account"]["state"] == "bad_credentials"
    # What comes in does not depend on it.
    account.say(2, date=int(time.time()))
    assert len(user.messages(place)) == 3
    user.patch(f"/api/accounts/{account.id}", {"credentials": {"botToken": "1:new"}})
    assert user.get(f"/api/accounts/{account.id}")["state"] == "connected"
    user.post(f"/api/messages/{message['id']}/retry")
    settled(user, message, "sent")


def test_without_an_answer_it_is_unknown_and_not_sent_again(hub, user, telegram):
    bot = telegram([CUT])
    place = conversation(user, telegram_account(user, bot.server))
    message = send(user, place)
    unknown = settled(user, message, "unknown")
    assert unknown["statusReason"]
    time.sleep(3)
    assert len(bot.server.named("/sendMessage")) == 1
    # The next of the conversation waits: it must not overtake.
    second = send(user, place, "second")
    time.sleep(1.5)
    assert status(user, second)["status"] == "queued"


def test_a_server_that_is_not_there_was_not_asked(hub, user):
    account = telegram_account(user, type("Nowhere", (), {"url": "http://127.0.0.1:9"}))
    place = conversation(user, account)
    message = send(user, place)
    time.sleep(2)
    assert status(user, message)["status"] == "queued"


def test_what_the_platform_cannot_do_is_refused_before_the_network(hub, user, telegram):
    bot = telegram()
    account = telegram_account(user, bot.server)
    place = conversation(user, account)

    def refused(code, **body):
        response = user.request("POST", f"/api/conversations/{place}/messages", json=body)
        assert assert_problem(response, 422)["code"] == code
        return response

    refused("text_too_long", text="x" * 4097)
    refused("invalid_content", kind="location", text="here")
    bare = user.telegram()
    bare.say(1, date=int(time.time()))
    other = user.conversations(account=bare.id)[0]["id"]
    response = user.request("POST", f"/api/conversations/{other}/messages", json={"text": "x"})
    assert assert_problem(response, 422)["code"] == "missing_credentials"
    assert bot.server.calls == []


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": 1}, {"text": "x", "typo": 1}, {"attachments": [{}]}, {"platform": 1, "text": "x"}])
def test_bad_requests_say_what_is_wrong(hub, user, telegram, body):
    place = conversation(user, telegram_account(user, telegram().server))
    assert_problem(user.request("POST", f"/api/conversations/{place}/messages", json=body), 400)


def test_nobody_sends_in_anothers_conversation(hub, user, telegram):
    place = conversation(user, telegram_account(user, telegram().server))
    stranger = hub.user()
    assert_problem(stranger.request("POST", f"/api/conversations/{place}/messages", json={"text": "x"}), 404)
    foreign = hub.user(tenant=unique("tenant"))
    assert_problem(foreign.request("POST", f"/api/conversations/{place}/messages", json={"text": "x"}), 404)


def test_replies_edits_reactions_and_deletions(hub, user, telegram):
    bot = telegram()
    account = telegram_account(user, bot.server)
    place = conversation(user, account)
    inbound = user.messages(place)[0]
    message = settled(user, send(user, place, "first", replyTo=inbound["id"]), "sent")
    assert bot.sent[0].json["reply_parameters"]["message_id"] == 1
    assert message["replyTo"]["id"] == inbound["id"]

    user.request("PATCH", f"/api/messages/{message['id']}", expect=202, json={"text": "second"})
    wait_until(lambda: status(user, message)["text"] == "second")
    assert bot.server.named("/editMessageText")[0].json == {"chat_id": 1001, "message_id": 9000, "text": "second"}

    user.request("POST", f"/api/messages/{inbound['id']}/reactions", expect=202, json={"emoji": "👍"})
    wait_until(lambda: status(user, inbound)["reactions"])
    assert status(user, inbound)["reactions"][0]["emoji"] == "👍"
    user.request("DELETE", f"/api/messages/{inbound['id']}/reactions", expect=202, params={"emoji": "👍"})
    wait_until(lambda: not status(user, inbound)["reactions"])
    assert [c.json["reaction"] for c in bot.server.named("/setMessageReaction")] == [[{"type": "emoji", "emoji": "👍"}], []]

    user.request("DELETE", f"/api/messages/{message['id']}", expect=202)
    wait_until(lambda: status(user, message)["deletedAt"])


def test_files_go_as_they_came(hub, user, telegram):
    bot = telegram()
    place = conversation(user, telegram_account(user, bot.server))
    content = bytes(range(256)) * 40
    upload = hub.request(
        "POST", "/api/uploads?name=cat.png", token=user.token, data=content, headers={"Content-Type": "image/png"}
    ).json()
    message = send(user, place, "a cat", attachments=[{"uploadId": upload["uploadId"]}])
    assert message["kind"] == "image"
    settled(user, message, "sent")
    call = bot.server.named("/sendPhoto")[0]
    assert content in call.body
    assert b'filename="cat.png"' in call.body and b"a cat" in call.body
    other = hub.user(tenant=unique("tenant"))
    response = other.request("POST", f"/api/conversations/{place}/messages", json={"attachments": [{"uploadId": upload["uploadId"]}]})
    assert response.status_code == 404


class Receiver:
    """Your own system: takes Standard Webhooks and does each id once."""

    def __init__(self, secret, script=None):
        self.secret = secret
        self.script = list(script or [])
        self.done = {}
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        payload = Webhook(self.secret).verify(call.body, call.headers)
        identifier = call.headers["webhook-id"]
        self.done.setdefault(identifier, payload)
        step = self.script.pop(0) if self.script else None
        return step or (200, {"messageId": f"out-{identifier}"})


def test_custom_is_sent_signed_and_repeated_with_one_id(hub, user):
    account = user.custom()
    account.say("m1")
    place = user.conversations(account=account.id)[0]["id"]
    receiver = Receiver(account.secret, [CUT, (500, {}), (502, {})])
    with receiver.server:
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"sendURL": f"{receiver.server.url}/in"}})
        message = settled(user, send(user, place, "to you"), "sent", 20)
        assert len(receiver.server.calls) == 4
        assert len(receiver.done) == 1
        [(identifier, payload)] = receiver.done.items()
        assert uuid.UUID(identifier)
        assert payload["message"]["text"] == "to you" and payload["conversation"]["id"] == "c1"
        assert message["externalId"] == f"out-{identifier}"
        # The status that the platform tells later meets it, and so does its echo.
        account.deliver(
            {"type": "status", "conversation": {"id": "c1"}, "message": {"id": message["externalId"]}, "status": "read"}
        )
        settled(user, message, "read")
        account.deliver(account.message(message["externalId"], "to you", direction="outbound"))
        assert len(user.messages(place)) == 2


def test_an_echo_before_the_answer_is_the_same_message(hub, user):
    account = user.custom()
    account.say("m1")
    place = user.conversations(account=account.id)[0]["id"]
    waiting = threading.Event()

    def slow(call):
        waiting.wait(10)
        return 200, {"messageId": "echoed"}

    receiver = Receiver(account.secret)
    answer = receiver.answer
    receiver.server.answer = lambda call: (answer(call), slow(call))[1]
    with receiver.server:
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"sendURL": receiver.server.url}})
        message = send(user, place, "hello there")
        wait_until(lambda: receiver.server.calls)
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        account.deliver(account.message("echoed", "hello  there", direction="outbound", sent_at=now))
        assert status(user, message)["status"] == "sent"
        assert status(user, message)["externalId"] == "echoed"
        waiting.set()
        time.sleep(0.5)
        assert len(user.messages(place)) == 2
        assert status(user, message)["status"] == "sent"


def business(account, number, text, sender, bot=None):
    """A message of a chat that a business account handed to the bot."""
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
    return account.deliver({"update_id": 10_000 + number, "business_message": message})


def test_an_echo_settles_what_was_unknown(hub, user, telegram):
    bot = telegram([CUT])
    account = telegram_account(user, bot.server)
    business(account, 1, "hi", sender=77)
    place = user.conversations(account=account.id)[0]["id"]
    message = send(user, place, "did it arrive?")
    settled(user, message, "unknown")
    before = user.events()[-1]["seq"]
    business(account, 2, "did it arrive?", sender=500, bot=9)
    found = status(user, message)
    assert (found["status"], found["externalId"]) == ("sent", "2")
    assert len(user.messages(place)) == 2
    assert [e["type"] for e in user.events(before) if e["type"] == "new_message"] == []
    assert len(bot.server.named("/sendMessage")) == 1
    # The conversation goes on.
    settled(user, send(user, place, "next"), "sent")


# By client event.


def test_a_client_event_sends_as_a_request_does(hub, user, telegram):
    bot = telegram()
    place = conversation(user, telegram_account(user, bot.server))
    stranger = hub.user()

    async def act():
        async with await open_screen(hub, user.token) as screen, await open_screen(hub, stranger.token) as other:
            body = {"conversationId": place, "text": "over the socket", "idempotencyKey": "k1"}
            answer = await screen.call("send_message", body)
            assert answer["ok"] is True, answer
            message = answer["messageId"]
            await screen.until(lambda: "over the socket" in screen.texts(), what="the push")
            await screen.until(
                lambda: [e.data["status"] for e in screen.named("message_status_update")] == ["sent"], what="sent"
            )
            # The same again is the same, also by the other way and with the members in another order.
            assert (await screen.call("send_message", body))["messageId"] == message
            reordered = dict(reversed(list(body.items())))
            assert (await screen.call("send_message", reordered))["messageId"] == message
            again = send(user, place, "over the socket", expect=200, headers={"Idempotency-Key": "k1"})
            assert again["id"] == message
            failures = [
                (body | {"text": "another"}, "idempotency_conflict"),
                (body | {"idempotencyKey": "x" * 256}, "invalid_request"),
                (body | {"idempotencyKey": 7}, "invalid_request"),
                (body | {"misspelt": 1, "idempotencyKey": "k2"}, "invalid_request"),
                ({"conversationId": place}, "invalid_request"),
                ({"conversationId": place, "text": "x" * 4097}, "text_too_long"),
                ({"conversationId": str(uuid.uuid4()), "text": "x"}, "not_found"),
            ]
            for given, code in failures:
                answer = await screen.call("send_message", given)
                assert answer["ok"] is False and answer["error"]["code"] == code, (given, answer)
            answer = await other.call("send_message", {"conversationId": place, "text": "not mine"})
            assert answer["error"]["code"] == "not_found"

    asyncio.run(act())
    assert [call.json["text"] for call in bot.sent] == ["over the socket"]


def test_a_key_made_by_a_request_is_known_to_the_event(hub, user, telegram):
    bot = telegram()
    place = conversation(user, telegram_account(user, bot.server))
    first = user.request(
        "POST",
        f"/api/conversations/{place}/messages",
        expect=201,
        data=b'{ "text" : "sp\\u00e4t" }',
        headers={"Idempotency-Key": "k3", "Content-Type": "application/json"},
    ).json()

    async def act():
        async with await open_screen(hub, user.token) as screen:
            body = {"conversationId": place, "text": "spät", "idempotencyKey": "k3"}
            return await screen.call("send_message", body)

    assert asyncio.run(act())["messageId"] == first["id"]
    settled(user, first, "sent")
    assert len(bot.sent) == 1
