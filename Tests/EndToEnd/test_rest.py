"""The REST contract: every route and shape that clients are written against."""

import re
import time
import uuid

import jwt
import pytest

from hub import assert_problem, unique

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
ACCOUNT = {"id", "platform", "name", "state", "accountKey", "webhookUrl"}
CONVERSATION = {
    "id", "accountId", "platform", "kind", "title", "state", "unreadCount", "lastMessage", "lastActivityAt", "participants",
}
MESSAGE = {
    "id", "conversationId", "accountId", "platform", "direction", "kind", "text", "sender", "attachments", "replyTo",
    "reactions", "status", "sentAt", "receivedAt", "editedAt", "deletedAt",
}


def assert_sortable_id(value):
    assert isinstance(value, str)
    assert uuid.UUID(value).version == 7


# Accounts.


def test_an_account_is_created_with_its_webhook_url(hub, user):
    body = {"platform": "telegram", "name": "Support", "credentials": {"webhookSecret": "a-good-secret_1"}}
    account = user.post("/api/accounts", body, expect=201)
    assert set(account) >= ACCOUNT
    assert_sortable_id(account["id"])
    assert account["platform"] == "telegram" and account["name"] == "Support"
    assert account["state"] in ("starting", "connected")
    assert account["webhookUrl"].startswith("http")
    assert account["webhookUrl"].endswith(f"/webhooks/telegram/{account['accountKey']}")
    assert "a-good-secret_1" not in str(account)


def test_accounts_are_listed_got_changed_and_deleted(hub, user):
    account = user.telegram("First").json
    second = user.telegram("Second").json
    listed = user.pages("/api/accounts")
    assert {item["id"] for item in listed} == {account["id"], second["id"]}
    assert user.get(f"/api/accounts/{account['id']}") == next(i for i in listed if i["id"] == account["id"])

    changed = user.patch(f"/api/accounts/{account['id']}", {"name": "Renamed"})
    assert changed["name"] == "Renamed" and changed["id"] == account["id"]
    assert user.get(f"/api/accounts/{account['id']}")["name"] == "Renamed"

    user.request("DELETE", f"/api/accounts/{account['id']}", expect=204)
    assert_problem(user.request("GET", f"/api/accounts/{account['id']}"), 404)
    assert [item["id"] for item in user.pages("/api/accounts")] == [second["id"]]


def test_a_secret_can_be_changed_and_never_comes_out(hub, user):
    account = user.telegram(secret="the-old-secret")
    changed = user.patch(f"/api/accounts/{account.id}", {"credentials": {"webhookSecret": "the-new-secret"}})
    account.secret = "the-new-secret"
    account.say(1)
    for answer in (changed, user.get(f"/api/accounts/{account.id}"), user.pages("/api/accounts"), user.events()):
        assert "the-new-secret" not in str(answer) and "the-old-secret" not in str(answer)


def test_deleting_an_account_takes_its_unread_away(hub, user):
    first, second = user.telegram(), user.custom()
    first.say(1)
    second.say("m1")
    user.request("DELETE", f"/api/accounts/{first.id}", expect=204)
    assert user.unread() == {"unreadCounts": {"custom": 1}, "totalUnread": 1}
    assert [item["platform"] for item in user.conversations()] == ["custom"]
    hub.command("verify", "unread")


def test_an_account_change_is_told(hub, user):
    user.telegram("Told")
    (event,) = [event for event in user.events() if event["type"] == "account_update"][:1]
    assert event["data"]["account"]["name"] == "Told"


# Conversations.


def test_the_shape_of_a_conversation(hub, user):
    account = user.telegram()
    account.say(1, "hello")
    (conversation,) = user.conversations()
    assert set(conversation) >= CONVERSATION
    assert_sortable_id(conversation["id"])
    assert conversation["accountId"] == account.id
    assert conversation["platform"] == "telegram"
    assert conversation["kind"] == "direct"
    assert conversation["title"] == "Visitor 1001"
    assert conversation["state"] == "open"
    assert conversation["unreadCount"] == 1
    assert conversation["lastMessage"]["preview"] == "hello"
    assert TIME.match(conversation["lastActivityAt"])
    assert any(participant["name"] == "Visitor 1001" for participant in conversation["participants"])
    assert user.get(f"/api/conversations/{conversation['id']}") == conversation


def test_conversations_are_newest_first_page_by_page(hub, user):
    account = user.telegram()
    for chat in range(1, 24):
        account.say(1, chat=chat, date=1_795_000_000 + chat * 7 % 100)
    everything = user.conversations(limit=100)
    assert len(everything) == 23
    times = [conversation["lastActivityAt"] for conversation in everything]
    assert times == sorted(times, reverse=True)
    for limit in (1, 5, 22, 23):
        assert user.conversations(limit=limit) == everything
    page = user.get("/api/conversations", limit=5)
    assert len(page["items"]) == 5 and isinstance(page["nextCursor"], str)


def test_paging_is_stable_while_messages_arrive(hub, user):
    account = user.telegram()
    for chat in range(1, 11):
        account.say(chat, chat=chat)
    first = user.get("/api/conversations", limit=4)
    account.say(99, chat=50)
    rest, cursor = [], first["nextCursor"]
    while cursor:
        page = user.get("/api/conversations", limit=4, cursor=cursor)
        rest += page["items"]
        cursor = page["nextCursor"]
    seen = [conversation["id"] for conversation in first["items"] + rest]
    assert len(seen) == len(set(seen)) == 10


def test_conversations_by_platform_state_and_unread(hub, user):
    telegram, custom = user.telegram(), user.custom()
    telegram.say(1, chat=1)
    telegram.say(2, chat=2)
    custom.say("m1")
    of_telegram = user.conversations(platform="telegram")
    assert len(of_telegram) == 2 and {item["platform"] for item in of_telegram} == {"telegram"}
    assert len(user.conversations(platform="custom")) == 1
    user.patch(f"/api/conversations/{of_telegram[0]['id']}", {"state": "closed"})
    assert [item["id"] for item in user.conversations(state="closed")] == [of_telegram[0]["id"]]
    assert len(user.conversations(state="open")) == 2
    user.post(f"/api/conversations/{of_telegram[1]['id']}/read")
    assert of_telegram[1]["id"] not in [item["id"] for item in user.conversations(unread="true")]
    assert len(user.conversations(unread="true")) == 2
    assert user.conversations(platform="telegram", state="open", unread="true") == []


@pytest.mark.parametrize("state", ["open", "pending", "closed"])
def test_the_state_of_a_conversation_is_changed_and_told(hub, user, state):
    user.telegram().say(1)
    (conversation,) = user.conversations()
    user.patch(f"/api/conversations/{conversation['id']}", {"state": "pending" if state != "pending" else "closed"})
    changed = user.patch(f"/api/conversations/{conversation['id']}", {"state": state})
    assert changed["state"] == state
    told = [event for event in user.events() if event["type"] == "conversation_update"][-1]
    assert told["data"]["conversation"]["state"] == state


def test_snoozed_needs_its_end(hub, user):
    user.telegram().say(1)
    (conversation,) = user.conversations()
    path = f"/api/conversations/{conversation['id']}"
    changed = user.patch(path, {"state": "snoozed", "snoozedUntil": "2030-01-01T00:00:00.000Z"})
    assert changed["state"] == "snoozed" and changed["snoozedUntil"] == "2030-01-01T00:00:00.000Z"
    for bad in ({"state": "asleep"}, {"state": 5}, []):
        response = user.request("PATCH", path, json=bad)
        assert_problem(response, response.status_code)
        assert response.status_code in (400, 422)


# Messages.


def test_the_shape_of_a_message(hub, user):
    account = user.telegram()
    account.say(1, "one")
    account.say(2, "two", reply_to_message=account.update(1, "one")["message"])
    (conversation,) = user.conversations()
    second, first = user.messages(conversation["id"])
    for message in (first, second):
        assert set(message) >= MESSAGE
        assert_sortable_id(message["id"])
        assert message["conversationId"] == conversation["id"]
        assert message["accountId"] == account.id
        assert message["direction"] == "inbound" and message["kind"] == "text"
        assert message["sender"]["id"] == "1001" and message["sender"]["name"] == "Visitor 1001"
        assert message["attachments"] == [] and message["reactions"] == []
        assert TIME.match(message["sentAt"]) and TIME.match(message["receivedAt"])
        assert message["editedAt"] is None and message["deletedAt"] is None
    assert first["replyTo"] is None
    assert second["replyTo"]["id"] == first["id"]


def test_messages_before_after_and_around(hub, user):
    account = user.telegram()
    for number in range(1, 31):
        account.say(number)
    (conversation,) = user.conversations()
    path = f"/api/conversations/{conversation['id']}/messages"
    everything = user.messages(conversation["id"], limit=4)
    newest_first = [message["text"] for message in everything]
    assert newest_first == [f"message {number}" for number in range(30, 0, -1)]
    by_number = {int(message["text"].split()[1]): message for message in everything}

    def numbers(**parameters):
        return [int(item["text"].split()[1]) for item in user.get(path, **parameters)["items"]]

    assert sorted(numbers(before=by_number[10]["id"], limit=5)) == [5, 6, 7, 8, 9]
    assert sorted(numbers(after=by_number[10]["id"], limit=5)) == [11, 12, 13, 14, 15]
    around = sorted(numbers(around=by_number[10]["id"], limit=5))
    assert around == list(range(around[0], around[0] + len(around))) and 10 in around and 4 <= len(around) <= 6
    assert numbers(before=by_number[1]["id"]) == []
    assert numbers(after=by_number[30]["id"]) == []
    assert user.get(path, limit=30)["items"] == everything


def test_a_deleted_message_shows_nothing_of_itself(hub, user):
    account = user.custom()
    account.say("m1", "to be gone")
    account.deliver(
        {"type": "message.deleted", "conversation": {"id": "c1", "kind": "direct"}, "message": {"id": "m1"}}
    )
    (conversation,) = user.conversations()
    (message,) = user.messages(conversation["id"])
    assert message["deletedAt"] and message["text"] is None and message["attachments"] == []
    assert conversation["unreadCount"] == 0
    assert "to be gone" not in str(conversation)
    hub.command("verify", "unread")


# Reading.


def test_reads_up_to_a_message_and_unreads_from_one(hub, user):
    account = user.telegram()
    for number in range(1, 11):
        account.say(number)
    (conversation,) = user.conversations()
    messages = user.messages(conversation["id"])[::-1]
    path = f"/api/conversations/{conversation['id']}"

    user.post(f"{path}/read", {"upTo": messages[3]["id"]})
    assert user.unread() == {"unreadCounts": {"telegram": 6}, "totalUnread": 6}
    user.post(f"{path}/read", {"upTo": messages[1]["id"]})
    assert user.unread()["totalUnread"] == 6, "reading never moves back"
    user.post(f"{path}/unread", {"from": messages[2]["id"]})
    assert user.unread()["totalUnread"] == 8
    user.post(f"{path}/read")
    assert user.unread()["totalUnread"] == 0
    assert user.get(path)["unreadCount"] == 0
    seq = user.events()[-1]["seq"]
    user.post(f"{path}/read")
    assert user.events(seq) == [], "nothing changed, so nothing is told"
    hub.command("verify", "unread")


def test_unread_counts_by_platform(hub, user):
    telegram, custom = user.telegram(), user.custom()
    assert user.unread() == {"unreadCounts": {}, "totalUnread": 0}
    telegram.say(1)
    telegram.say(2, chat=7)
    custom.say("m1")
    assert user.unread() == {"unreadCounts": {"telegram": 2, "custom": 1}, "totalUnread": 3}


# Events.


def test_events_after_a_number(hub, user):
    account = user.telegram()
    for number in range(1, 6):
        account.say(number)
    everything = user.get("/api/events", after=0, limit=100)
    items = everything["items"]
    assert [item["seq"] for item in items] == list(range(1, everything["lastSeq"] + 1))
    assert all(set(item) >= {"seq", "type", "data", "timestamp"} and TIME.match(item["timestamp"]) for item in items)
    assert user.get("/api/events", after=3, limit=2)["items"] == items[3:5]
    end = user.get("/api/events", after=everything["lastSeq"])
    assert end["items"] == [] and end["lastSeq"] == everything["lastSeq"]


def test_events_come_in_the_order_of_the_contract(hub, user):
    """The message first, then its conversation, then the count."""
    user.telegram().say(1)
    types = [item["type"] for item in user.events() if item["type"] != "account_update"]
    assert types == ["new_message", "conversation_update", "unread_count_update"]


# Who sees what.


def every_read(account, conversation, message):
    return [
        ("GET", f"/api/accounts/{account}", None),
        ("PATCH", f"/api/accounts/{account}", {"name": "mine now"}),
        ("DELETE", f"/api/accounts/{account}", None),
        ("GET", f"/api/conversations/{conversation}", None),
        ("PATCH", f"/api/conversations/{conversation}", {"state": "closed"}),
        ("GET", f"/api/conversations/{conversation}/messages", None),
        ("GET", f"/api/conversations/{conversation}/messages?around={message}", None),
        ("POST", f"/api/conversations/{conversation}/read", {"upTo": message}),
        ("POST", f"/api/conversations/{conversation}/unread", {"from": message}),
    ]


@pytest.mark.parametrize("who", ["same tenant", "same name in another tenant", "admin of another tenant"])
def test_nobody_reaches_anothers(hub, who):
    owner = hub.user(tenant=unique("tenant"))
    owner_tenant = hub_tenant(hub, owner)
    stranger = {
        "same tenant": lambda: hub.user(tenant=owner_tenant),
        "same name in another tenant": lambda: hub.user(owner.id, tenant=unique("tenant")),
        "admin of another tenant": lambda: hub.user(tenant=unique("tenant"), roles=["admin", "owner"]),
    }[who]()
    account = owner.telegram()
    account.say(1, "private")
    (conversation,) = owner.conversations()
    (message,) = owner.messages(conversation["id"])
    for method, path, body in every_read(account.id, conversation["id"], message["id"]):
        response = stranger.request(method, path, **({} if body is None else {"json": body}))
        assert_problem(response, response.status_code)
        assert response.status_code in (403, 404), f"{method} {path}: {response.status_code}"
        assert "private" not in response.text
    assert stranger.conversations() == [] and stranger.pages("/api/accounts") == []
    assert stranger.unread()["totalUnread"] == 0
    assert not [item for item in stranger.events() if "private" in str(item)]
    assert owner.conversations() == [conversation]
    assert owner.pages("/api/accounts")[0]["name"] == "Support"


def hub_tenant(hub, user):
    return jwt.decode(user.token, hub.jwt_secret, algorithms=["HS256"])["tenant"]


def test_a_cursor_of_another_opens_nothing(hub):
    owner, stranger = hub.user(), hub.user()
    account = owner.telegram()
    for chat in range(1, 5):
        account.say(1, "private", chat=chat)
    cursor = owner.get("/api/conversations", limit=2)["nextCursor"]
    response = stranger.request("GET", "/api/conversations", params={"cursor": cursor})
    assert response.status_code in (200, 400)
    assert "private" not in response.text


def test_errors_carry_the_request_id(hub, user):
    response = user.request("GET", "/api/conversations/0198c2f0-0000-7000-8000-000000000000")
    problem = assert_problem(response, 404)
    assert problem["code"]
    trace = user.request("GET", "/api/unread", headers={"X-Request-Id": unique("request")})
    assert trace.status_code == 200


def test_answers_are_quick(hub, user):
    account = user.telegram()
    for number in range(1, 51):
        account.say(number)
    started = time.monotonic()
    for _ in range(50):
        user.get("/api/conversations")
    assert (time.monotonic() - started) / 50 < 0.05
