"""Who people are: the best name and picture seen, changed by a later name, under an id that stays."""

import itertools

import pytest

AVATAR = "https://example.com/ann.png"


def said(account, identifier, minute, name=None, avatar=None):
    sender = {"id": "v1"} | ({"name": name} if name else {}) | ({"avatar": avatar} if avatar else {})
    at = f"2026-11-01T10:{minute:02d}:00.000Z"
    return account.message(identifier, f"text of {identifier}", sent_at=at, sender=sender)


def contact(user):
    (conversation,) = user.conversations()
    (participant,) = conversation["participants"]
    assert conversation["participantCount"] == 1
    return participant


def test_what_is_known_of_a_sender_is_not_forgotten(hub, user):
    account = user.custom()
    account.deliver(said(account, "m1", 1))
    assert contact(user) == {"id": "v1", "name": None}
    account.deliver(said(account, "m2", 2, name="Ann", avatar=AVATAR))
    assert contact(user) == {"id": "v1", "name": "Ann", "avatar": AVATAR}
    account.deliver(said(account, "m3", 3))
    assert contact(user) == {"id": "v1", "name": "Ann", "avatar": AVATAR}
    account.deliver(said(account, "m4", 4, name="Ann Lee"))
    assert contact(user) == {"id": "v1", "name": "Ann Lee", "avatar": AVATAR}


def test_a_later_name_changes_the_contact_and_no_message(hub, user):
    account = user.custom()
    account.deliver(said(account, "m1", 1, name="Ann"))
    account.deliver(said(account, "m3", 3, name="Ann Lee"))
    # It comes last and is older: its name is not the newest.
    account.deliver(said(account, "m2", 2, name="Anna"))
    assert contact(user)["name"] == "Ann Lee"
    (conversation,) = user.conversations()
    senders = {message["externalId"]: message["sender"] for message in user.messages(conversation["id"])}
    assert senders == {
        "m1": {"id": "v1", "name": "Ann"}, "m2": {"id": "v1", "name": "Anna"}, "m3": {"id": "v1", "name": "Ann Lee"},
    }
    events = [event["data"]["conversation"] for event in user.events() if event["type"] == "new_message"]
    assert [event["participants"][0]["name"] for event in events] == ["Ann", "Ann Lee", "Ann Lee"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_any_order_of_messages_gives_the_same_contact(hub, order):
    user = hub.user()
    account = user.custom()
    story = [
        said(account, "m1", 1, name="Ann", avatar=AVATAR), said(account, "m2", 2), said(account, "m3", 3, name="Lee"),
        said(account, "m4", 4),
    ]
    for index in order:
        account.deliver(story[index])
    assert contact(user) == {"id": "v1", "name": "Lee", "avatar": AVATAR}


def test_a_conversation_that_moves_keeps_what_is_known(hub, user):
    """Telegram gives a group another id: two conversations become one."""
    account = user.telegram()

    def group(number, chat, name=None, **more):
        update = account.update(number, chat=chat, **more)
        update["message"]["chat"] = {"id": chat, "type": "supergroup", "title": "Team"}
        update["message"]["from"] = {"id": 7, "is_bot": False} | ({"first_name": name} if name else {"first_name": ""})
        return update

    account.deliver(group(1, -5, name="Ann"))
    account.deliver(group(1, -100, date=1_795_000_100))
    moved = group(2, -5, name="Ann")
    del moved["message"]["text"]
    moved["message"]["migrate_to_chat_id"] = -100
    account.deliver(moved)
    (conversation,) = user.conversations()
    assert conversation["externalId"] == "-100"
    assert {"id": "7", "name": "Ann"} in conversation["participants"]
