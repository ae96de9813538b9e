"""From webhook to row: once, in order, counted, whatever the order and the number of deliveries."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import requests

from hub import unique
from screen import open_screen


def deliver_all(account, payloads, connections=8):
    """Each connection is one keep-alive session; the payloads are dealt out as they come free."""
    sessions = [requests.Session() for _ in range(connections)]
    for session in sessions:
        session.trust_env = False

    def lane(index):
        return [account.deliver(payload, session=sessions[index]).status_code for payload in payloads[index::connections]]

    with ThreadPoolExecutor(connections) as pool:
        return [status for lane_statuses in pool.map(lane, range(connections)) for status in lane_statuses]


def test_the_same_webhook_a_hundred_times_is_one_message(hub, user):
    account = user.telegram()
    update = account.update(1)

    async def run():
        screen = await open_screen(hub, user.token)
        statuses = await asyncio.to_thread(deliver_all, account, [update] * 100)
        assert statuses == [200] * 100
        await screen.until(lambda: screen.named("unread_count_update"))
        await screen.quiet(0.5)
        await screen.close()
        return screen

    screen = asyncio.run(run())
    assert len(screen.named("new_message")) == 1
    assert len(screen.named("unread_count_update")) == 1
    (conversation,) = user.conversations()
    assert conversation["unreadCount"] == 1
    assert len(user.messages(conversation["id"])) == 1
    assert user.unread() == {"unreadCounts": {"telegram": 1}, "totalUnread": 1}
    assert len([event for event in user.events() if event["type"] == "new_message"]) == 1


def test_two_hundred_in_random_order_with_duplicates(hub, user):
    account = user.telegram()
    updates = [account.update(number, chat=1001 + number % 3) for number in range(1, 201)]
    shuffled = updates + random.Random(7).choices(updates, k=150)
    random.Random(8).shuffle(shuffled)
    deliver_all(account, shuffled)

    assert user.unread() == {"unreadCounts": {"telegram": 200}, "totalUnread": 200}
    conversations = user.conversations()
    assert len(conversations) == 3
    for conversation in conversations:
        messages = user.messages(conversation["id"], limit=7)
        numbers = [int(message["text"].removeprefix("message ")) for message in messages]
        assert numbers == sorted(numbers, reverse=True)
        assert len(numbers) == conversation["unreadCount"]
        assert conversation["lastMessage"]["id"] == messages[0]["id"]
        assert conversation["lastActivityAt"] == messages[0]["sentAt"]
    assert sum(conversation["unreadCount"] for conversation in conversations) == 200
    hub.command("verify", "unread")


def test_messages_of_one_second_keep_the_platforms_order(hub, user):
    account = user.telegram()
    numbers = list(range(1, 31))
    random.Random(3).shuffle(numbers)
    for number in numbers:
        account.say(number, date=1_795_100_000)
    (conversation,) = user.conversations()
    texts = [message["text"] for message in user.messages(conversation["id"])]
    assert texts == [f"message {number}" for number in range(30, 0, -1)]
    assert conversation["lastMessage"]["preview"] == "message 30"


def test_the_same_number_in_two_chats_is_two_messages(hub, user):
    account = user.telegram()
    account.say(1, chat=1)
    account.say(1, chat=2)
    assert user.unread()["totalUnread"] == 2
    assert len(user.conversations()) == 2


def test_a_late_message_moves_nothing_back(hub, user):
    account = user.telegram()
    account.say(10)
    (before,) = user.conversations()
    account.say(5)
    (after,) = user.conversations()
    assert after["lastMessage"] == before["lastMessage"]
    assert after["lastActivityAt"] == before["lastActivityAt"]
    assert after["unreadCount"] == 2


def test_a_late_message_behind_the_read_position_is_not_unread(hub, user):
    account = user.telegram()
    account.say(10)
    (conversation,) = user.conversations()
    user.post(f"/api/conversations/{conversation['id']}/read")
    account.say(5)
    assert user.unread()["totalUnread"] == 0
    hub.command("verify", "unread")


def settled(user):
    """What a user sees, without ids and times that differ from run to run."""
    (conversation,) = user.conversations()
    return [
        {
            "text": message["text"],
            "reactions": [(reaction["emoji"], reaction["count"]) for reaction in message["reactions"]],
            "editedAt": message["editedAt"],
            "deletedAt": message["deletedAt"] is not None,
            "status": message["status"],
            "replyTo": message["replyTo"] and message["replyTo"].get("externalId"),
        }
        for message in user.messages(conversation["id"])
    ], conversation["unreadCount"]


def story(account):
    """A short life of a conversation, in the order in which it happened."""
    conversation = {"id": "c1", "kind": "direct", "title": "Conversation c1"}

    def change(kind, identifier, at, **more):
        return {"type": kind, "conversation": conversation, "message": {"id": identifier, **more}, "at": at}

    def at(minute):
        return f"2026-11-01T10:{minute:02d}:00.000Z"

    def message(identifier, minute, **more):
        return account.message(identifier, f"text of {identifier}", sent_at=at(minute), **more)

    actor = {"id": "v1", "name": "Visitor"}
    return [
        message("m1", 1),
        message("m2", 2, replyTo="m1"),
        change("message.edited", "m1", at(3), text="first edit", editedAt=at(3)),
        change("message.edited", "m1", at(4), text="second edit", editedAt=at(4)),
        change("reaction", "m2", at(5), reaction={"emoji": "👍", "action": "add", "actor": actor, "at": at(5)}),
        change("reaction", "m2", at(6), reaction={"emoji": "👍", "action": "remove", "actor": actor, "at": at(6)}),
        change("reaction", "m2", at(7), reaction={"emoji": "🎉", "action": "add", "actor": actor, "at": at(7)}),
        message("m3", 8),
        change("message.deleted", "m3", at(9), deletedAt=at(9)),
        message("m4", 10, direction="outbound"),
        change("status", "m4", at(11), status="delivered"),
        change("status", "m4", at(12), status="read"),
    ]


def test_any_order_of_changes_ends_the_same(hub):
    """Edits, reactions, deletes and statuses may all come before their message, and twice."""
    reference = hub.user()
    account = reference.custom()
    for payload in story(account):
        account.deliver(payload)
    expected = settled(reference)
    texts = [message["text"] for message in expected[0]]
    assert texts == ["text of m4", None, "text of m2", "second edit"], expected
    assert expected[0][2]["reactions"] == [("🎉", 1)]
    assert expected[0][0]["status"] == "read"
    assert expected[1] == 2

    for seed in range(12):
        user = hub.user()
        account = user.custom()
        payloads = story(account)
        chance = random.Random(seed)
        payloads += chance.choices(payloads, k=5)
        chance.shuffle(payloads)
        for payload in payloads:
            account.deliver(payload)
        assert settled(user) == expected, f"seed {seed}"
    hub.command("verify", "unread")


def test_an_edit_keeps_its_message_and_is_told(hub, user):
    account = user.telegram()
    account.say(1, "before")

    async def run():
        screen = await open_screen(hub, user.token)
        await asyncio.to_thread(account.deliver, account.edited(1, "after"))
        await screen.until(lambda: screen.named("message_update"))
        await screen.close()
        return screen.named("message_update")[0].data["message"]

    pushed = asyncio.run(run())
    (conversation,) = user.conversations()
    assert user.messages(conversation["id"]) == [pushed]
    assert pushed["text"] == "after" and pushed["editedAt"]
    assert conversation["lastMessage"]["preview"] == "after"
    assert conversation["unreadCount"] == 1


def test_a_telegram_reaction_comes_and_goes(hub, user):
    account = user.telegram()
    account.deliver(account.reaction(1, "👍", date=1_795_000_100))
    account.say(1)
    (conversation,) = user.conversations()

    def reactions():
        (message,) = user.messages(conversation["id"])
        return [(reaction["emoji"], reaction["count"]) for reaction in message["reactions"]]

    assert reactions() == [("👍", 1)]
    account.deliver(account.reaction(1, "", date=1_795_000_200))
    assert reactions() == []


def test_a_status_is_told_and_never_falls(hub, user):
    account = user.custom()
    account.deliver(account.message("m1", direction="outbound"))
    (conversation,) = user.conversations()
    reference = {"id": "c1", "kind": "direct"}

    def status(value):
        return {"type": "status", "conversation": reference, "message": {"id": "m1"}, "status": value}

    def shapes(value):
        # The status may stand beside the message or in it; the hub's README says which. Both are sent.
        return status(value) | {"message": {"id": "m1", "status": value}}

    async def run():
        screen = await open_screen(hub, user.token)
        for value in ("delivered", "read", "delivered", "sent"):
            await asyncio.to_thread(account.deliver, shapes(value))
        await screen.until(lambda: len(screen.named("message_status_update")) == 2)
        await screen.quiet(0.3)
        await screen.close()
        return [event.data["status"] for event in screen.named("message_status_update")]

    assert asyncio.run(run()) == ["delivered", "read"]
    (message,) = user.messages(conversation["id"])
    assert message["status"] == "read"
    assert user.unread()["totalUnread"] == 0


def test_a_new_message_reopens_a_closed_conversation(hub, user):
    account = user.telegram()
    account.say(1)
    (conversation,) = user.conversations()
    closed = user.patch(f"/api/conversations/{conversation['id']}", {"state": "closed"})
    assert closed["state"] == "closed"
    account.say(2)
    assert user.get(f"/api/conversations/{conversation['id']}")["state"] == "open"


def test_an_unknown_kind_is_a_visible_message(hub, user):
    account = user.telegram()
    update = account.update(1)
    del update["message"]["text"]
    update["message"]["hologram"] = {"file_id": "h1"}
    account.deliver(update)
    (conversation,) = user.conversations()
    (message,) = user.messages(conversation["id"])
    assert message["kind"] == "unsupported"


def test_text_that_hurts_others_is_kept(hub, user):
    account = user.telegram()
    naughty = [
        "nul \u0000 inside", "\u202eright to left", "👩‍👩‍👧‍👦", "'; DROP TABLE messages; --", "{\"json\": true}",
        "line\r\nline", "\ufeffbom", "ﷺ" * 100, "\\u0000", "</script><script>alert(1)</script>", "x" * 4096,
    ]
    for number, text in enumerate(naughty, 1):
        account.say(number, text)
    (conversation,) = user.conversations()
    texts = [message["text"] for message in user.messages(conversation["id"])][::-1]
    assert len(texts) == len(naughty)
    assert texts[1:] == naughty[1:]
    assert "nul" in texts[0] and "inside" in texts[0]  # PostgreSQL has no U+0000.


def test_a_group_of_many_accounts_at_once(hub):
    """Many accounts write at the same time; each user sees exactly the own messages."""
    users = [hub.user() for _ in range(8)]
    accounts = [user.telegram() for user in users]

    def lane(account):
        for number in range(1, 41):
            account.say(number, f"{account.id} {number}")

    with ThreadPoolExecutor(len(accounts)) as pool:
        list(pool.map(lane, accounts))
    for user, account in zip(users, accounts):
        (conversation,) = user.conversations()
        texts = [message["text"] for message in user.messages(conversation["id"])]
        assert texts == [f"{account.id} {number}" for number in range(40, 0, -1)]
        assert user.unread()["totalUnread"] == 40
        seqs = [event["seq"] for event in user.events()]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    hub.command("verify", "unread")


def test_one_poisonous_delivery_fails_alone(hub):
    user = hub.user()
    account = user.telegram()
    payloads = [account.update(number) for number in range(1, 61)]
    payloads[20:20] = [b'{"update_id": 1, "message": ', b"[]", b"null", b'{"update_id": "x", "message": 5}']
    assert set(deliver_all(account, payloads)) == {200}
    assert user.unread()["totalUnread"] == 60


def test_custom_pushes_attachments_replies_and_groups(hub):
    user = hub.user()
    account = user.custom()
    account.say("m1")
    account.deliver(
        {
            "type": "message",
            "conversation": {"id": "g1", "kind": "group", "title": "Team"},
            "message": {
                "id": "m1",
                "text": "see the picture",
                "sentAt": "2026-11-01T11:00:00.000Z",
                "sender": {"id": "v2", "name": "Zoë"},
                "attachments": [{"kind": "image", "url": "https://example.com/a.png", "name": "a.png", "mimeType": "image/png"}],
            },
        }
    )
    group, direct = user.conversations()
    assert (group["kind"], group["title"]) == ("group", "Team")
    assert direct["kind"] == "direct"
    (message,) = user.messages(group["id"])
    assert message["sender"] == message["sender"] | {"id": "v2", "name": "Zoë"}
    (attachment,) = message["attachments"]
    assert attachment["kind"] == "image" and attachment["name"] == "a.png"
    assert attachment["url"] == f"/api/messages/{message['id']}/attachments/1"


def test_the_same_custom_delivery_again_is_nothing_new(hub):
    """The id is the same on each attempt, the signature is not."""
    user = hub.user()
    account = user.custom()
    payload = account.message("m1")
    identifier = unique("msg")
    for _ in range(3):
        headers, body = account.signed(payload, identifier=identifier)
        response = hub.session.post(hub.url + account.path, data=body, headers=headers)
        assert response.status_code == 200
    assert user.unread()["totalUnread"] == 1
