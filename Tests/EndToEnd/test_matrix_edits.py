"""Only who wrote a message can edit it: a homeserver passes on a replacement by anybody in the room."""

import json
import secrets

import pytest
import requests

ROOM = "!room:example.org"
OWN = "@hub:example.org"


@pytest.fixture
def say(hub, user):
    token = "hs-" + secrets.token_hex(8)
    account = user.post(
        "/api/accounts",
        {"platform": "matrix", "name": "Rooms", "credentials": {"hsToken": token, "userId": OWN}},
        expect=201,
    )

    def put(*events):
        response = requests.put(
            f"{hub.url}/webhooks/matrix/{account['accountKey']}/_matrix/app/v1/transactions/{secrets.token_hex(8)}",
            data=json.dumps({"events": list(events)}),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=10,
        )
        assert response.status_code == 200, response.text

    return put


def text(number, sender, words):
    return event(number, sender, {"msgtype": "m.text", "body": words})


def event(number, sender, content):
    return {
        "type": "m.room.message", "event_id": f"${number}", "room_id": ROOM, "sender": sender,
        "origin_server_ts": 1_795_219_190_000 + number, "content": content,
    }


def replacing(number, sender, target, words):
    relation = {"rel_type": "m.replace", "event_id": f"${target}"}
    new = {"msgtype": "m.text", "body": words}
    return event(number, sender, {**new, "body": "* " + words, "m.new_content": new, "m.relates_to": relation})


def texts(user):
    (conversation,) = user.conversations()
    return {message["externalId"]: message["text"] for message in user.messages(conversation["id"])}


def test_who_wrote_a_message_edits_it(say, user):
    say(text(1, "@ana:example.org", "draft"), text(2, OWN, "mine"))
    say(replacing(3, "@ana:example.org", 1, "final"), replacing(4, OWN, 2, "ours"))
    assert texts(user) == {"$1": "final", "$2": "ours"}


def test_others_cannot(say, user):
    say(text(1, "@ana:example.org", "hello"), text(2, OWN, "the price is 10"))
    say(replacing(3, "@mallory:example.org", 1, "forged"), replacing(4, "@mallory:example.org", 2, "it is 1"))
    assert texts(user) == {"$1": "hello", "$2": "the price is 10"}


def test_nor_before_the_message_is_there(say, user):
    say(replacing(3, "@mallory:example.org", 1, "forged"))
    say(text(1, "@ana:example.org", "hello"))
    assert texts(user) == {"$1": "hello"}
