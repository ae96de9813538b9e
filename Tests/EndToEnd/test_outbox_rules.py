"""Rules of the outbox beside the common way: keys from two nodes, order around failures, what echoes may be
taken for, and uploads, which are their user's."""

import threading
import time

import pytest

from hub import assert_problem, unique, wait_until
from nodes import nodes
from platform_server import CUT
from test_outbox_crash import business
from test_sending import conversation, send, settled, status, telegram, telegram_account  # noqa: F401


@pytest.fixture(scope="module")
def pair():
    """Two hubs on one database."""
    with nodes("rules", HUB_SHARDS="1") as hubs:
        yield hubs


# Keys.


def test_one_key_on_two_nodes_at_once_is_one_message(pair, telegram):
    platform = telegram()
    user = pair[0].user()
    users = [hub.user(user.id) for hub in pair]
    place = conversation(user, telegram_account(user, platform.server))
    for turn in range(5):
        key = {"Idempotency-Key": unique("key")}
        answers, begin = [], threading.Barrier(12)

        def ask(number):
            asker = users[number % 2].hub.user(user.id)
            begin.wait()
            # A session of its own: one connection each.
            import requests

            response = requests.post(
                f"{asker.hub.url}/api/conversations/{place}/messages",
                json={"text": f"turn {turn}"},
                headers=key | {"Authorization": f"Bearer {asker.token}"},
                timeout=15,
            )
            answers.append((response.status_code, response.json()["id"]))

        threads = [threading.Thread(target=ask, args=[number]) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(code for code, _ in answers) == [200] * 11 + [201]
        assert len({identifier for _, identifier in answers}) == 1
        settled(user, {"id": answers[0][1]}, "sent")
    assert [call.json["text"] for call in platform.sent] == [f"turn {turn}" for turn in range(5)]


def test_a_key_is_one_request_of_one_user(pair, telegram):
    platform = telegram()
    user = pair[0].user()
    account = telegram_account(user, platform.server)
    places = [conversation(user, account, chat) for chat in (1001, 1002)]
    colleague = pair[1].user()
    user.patch(f"/api/accounts/{account.id}", {"users": [user.id, colleague.id]})
    key = {"Idempotency-Key": "the same"}
    first = send(user, places[0], "one", headers=key)
    assert send(user, places[0], "one", expect=200, headers=key)["id"] == first["id"]
    for place, text in ((places[0], "two"), (places[1], "one")):
        response = user.request(
            "POST", f"/api/conversations/{place}/messages", json={"text": text}, headers=key
        )
        assert assert_problem(response, 409)["code"] == "idempotency_conflict"
    # Another user's key is another key.
    second = send(colleague, places[0], "one", headers=key)
    assert second["id"] != first["id"]
    for message in (first, second):
        settled(user, message, "sent")
    assert len(platform.sent) == 2


def test_what_was_sent_is_found_by_its_key_when_it_could_not_be_sent_any_more(pair, telegram):
    """The answer was lost, and meanwhile the account was switched off."""
    platform = telegram()
    user = pair[0].user()
    account = telegram_account(user, platform.server)
    place = conversation(user, account)
    key = {"Idempotency-Key": unique("key")}
    first = send(user, place, "hello", headers=key)
    settled(user, first, "sent")
    user.patch(f"/api/accounts/{account.id}", {"disabled": True})
    assert send(user, place, "hello", expect=200, headers=key)["id"] == first["id"]
    response = user.request(
        "POST", f"/api/conversations/{place}/messages", json={"text": "other"}, headers=key
    )
    assert_problem(response, 409)
    response = user.request("POST", f"/api/conversations/{place}/messages", json={"text": "hello"})
    assert assert_problem(response, 422)["code"] == "account_disabled"


# Order.


def refusal(words="Bad Request: chat not found"):
    return 400, {"ok": False, "error_code": 400, "description": words}


def test_order_is_kept_around_what_fails_and_what_is_doubted(pair, telegram):
    user = pair[0].user()
    # The first is tried three times, the second refused, the third not answered.
    busy = (503, {"ok": False, "error_code": 503, "description": "busy"})
    platform = telegram([busy, busy, None, refusal(), CUT])
    place = conversation(user, telegram_account(user, platform.server))
    messages = [send(user, place, f"m{number}") for number in range(5)]
    settled(user, messages[0], "sent", 20)
    settled(user, messages[1], "failed")
    settled(user, messages[2], "unknown")
    # What comes behind waits until it is known what became of the third.
    time.sleep(3)
    assert [status(user, one)["status"] for one in messages[3:]] == ["queued", "queued"]
    assert [call.json["text"] for call in platform.sent] == ["m0"]
    with pair[0].database() as database:
        database.execute("UPDATE outbox SET due_at = now() WHERE message_id = %s", [messages[2]["id"]])
    settled(user, messages[2], "failed", 15)
    for message in messages[3:]:
        settled(user, message, "sent")
    assert [call.json["text"] for call in platform.sent] == ["m0", "m3", "m4"]


def test_what_is_sent_again_by_hand_waits_for_what_is_under_way(pair, telegram):
    user = pair[0].user()
    gate, open_calls, most = threading.Event(), [0], [0]

    def slow(call):
        open_calls[0] += 1
        most[0] = max(most[0], open_calls[0])
        gate.wait(20)
        open_calls[0] -= 1
        chat = {"id": int(call.json["chat_id"]), "type": "private", "first_name": "Visitor"}
        result = {
            "message_id": 500 + len(called),
            "date": int(time.time()),
            "chat": chat,
            "text": call.json["text"],
        }
        called.append(call.json["text"])
        return 200, {"ok": True, "result": result}

    called = []
    platform = telegram([refusal(), slow, slow])
    place = conversation(user, telegram_account(user, platform.server))
    first = send(user, place, "first")
    settled(user, first, "failed")
    second = send(user, place, "second")
    wait_until(lambda: open_calls[0] == 1, 10)
    pair[1].user(user.id).post(f"/api/messages/{first['id']}/retry")
    time.sleep(3)
    gate.set()
    for message in (first, second):
        settled(user, message, "sent")
    assert most[0] == 1 and called == ["second", "first"]


def test_changes_wait_for_the_message_to_be_there(pair, telegram):
    user = pair[0].user()
    busy = (503, {"ok": False, "error_code": 503, "description": "busy"})
    platform = telegram([busy, refusal()])
    place = conversation(user, telegram_account(user, platform.server))
    message = send(user, place, "hello")
    for method, path, body in (
        ("PATCH", "", {"text": "x"}),
        ("DELETE", "", None),
        ("POST", "/reactions", {"emoji": "👍"}),
    ):
        response = user.request(method, f"/api/messages/{message['id']}{path}", json=body)
        assert assert_problem(response, 409)["code"] == "not_sent_yet"
    settled(user, message, "failed", 20)
    response = user.request("DELETE", f"/api/messages/{message['id']}")
    assert assert_problem(response, 409)["code"] == "not_sent_yet"


# Echoes.


def business_place(user, account):
    business(account, 1, "hi", sender=77)
    return user.conversations(account=account.id)[0]["id"]


def test_an_older_message_with_the_same_words_is_no_echo(pair, telegram):
    """Found late, by a sweep or a webhook that was held up: it was said an hour before."""
    platform = telegram([CUT])
    user = pair[0].user()
    account = telegram_account(user, platform.server)
    place = business_place(user, account)
    message = send(user, place, "ok")
    settled(user, message, "unknown")
    old = {
        "message_id": 40,
        "business_connection_id": "bc1",
        "date": int(time.time()) - 3_600,
        "from": {"id": 500, "is_bot": False, "first_name": "Me"},
        "chat": {"id": 77, "type": "private", "first_name": "Visitor"},
        "sender_business_bot": {"id": 9, "is_bot": True, "first_name": "Bot"},
        "text": "ok",
    }
    account.deliver({"update_id": 60_040, "business_message": old})
    assert status(user, message)["status"] == "unknown"
    assert len([m for m in user.messages(place) if m["text"] == "ok"]) == 2
    # Its own echo is recognised.
    business(account, 41, "ok", sender=500, bot=9)
    assert settled(user, message, "sent")["externalId"] == "41"
    assert len([m for m in user.messages(place) if m["text"] == "ok"]) == 2


def test_what_the_platform_refused_is_not_what_somebody_says_elsewhere(pair, telegram):
    platform = telegram([refusal("Bad Request: message is not allowed")])
    user = pair[0].user()
    account = telegram_account(user, platform.server)
    place = business_place(user, account)
    message = send(user, place, "hello")
    settled(user, message, "failed")
    business(account, 42, "hello", sender=500, bot=9)
    assert status(user, message)["status"] == "failed"
    assert sorted(m["status"] for m in user.messages(place) if m["text"] == "hello") == ["failed", "sent"]


def test_an_echo_after_the_message_was_given_up_takes_its_failure_back(pair, telegram):
    platform = telegram([CUT])
    user = pair[0].user()
    account = telegram_account(user, platform.server)
    place = business_place(user, account)
    message = send(user, place, "late")
    settled(user, message, "unknown")
    with pair[0].database() as database:
        database.execute("UPDATE outbox SET due_at = now() WHERE message_id = %s", [message["id"]])
        settled(user, message, "failed", 15)
        business(account, 43, "late", sender=500, bot=9)
        found = settled(user, message, "sent")
        assert found.get("statusReason") is None and found["externalId"] == "43"
        kept = "SELECT status FROM statuses WHERE message_id = %s"
        assert database.execute(kept, [message["id"]]).fetchall() == [("sent",)]
    assert platform.sent == []


# Uploads.


def test_an_upload_is_its_users(pair, telegram):
    platform = telegram()
    user = pair[0].user()
    account = telegram_account(user, platform.server)
    place = conversation(user, account)
    colleague = pair[0].user()
    user.patch(f"/api/accounts/{account.id}", {"users": [user.id, colleague.id]})
    upload = user.request(
        "POST", "/api/uploads?name=a.txt", expect=201, data=b"secret", headers={"Content-Type": "text/plain"}
    ).json()["uploadId"]
    body = {"attachments": [{"uploadId": upload}]}
    for stranger in (colleague, pair[0].user(user.id, tenant=unique("tenant"))):
        response = stranger.request("POST", f"/api/conversations/{place}/messages", json=body)
        assert response.status_code in (400, 404), response.text
    assert platform.sent == []
