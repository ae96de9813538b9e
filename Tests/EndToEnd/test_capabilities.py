"""What a conversation says of itself: what can be done in it, and until when it can be answered."""

import json
import secrets

import test_whatsapp_batch as batch
from hub import unique


def catalogue(hub):
    entries = json.loads(hub.command("platforms", "--json").stdout)
    return {entry["name"]: entry["capabilities"] for entry in entries}


def test_a_conversation_says_what_its_platform_can(hub, user):
    user.telegram().say(1, "hello")
    (conversation,) = user.conversations()
    assert conversation["capabilities"] == catalogue(hub)["telegram"]
    assert conversation["replyWindow"] is None
    assert conversation == user.get(f"/api/conversations/{conversation['id']}")


def test_a_window_is_open_from_the_last_inbound_message(hub, user):
    secret = secrets.token_hex(16)
    body = {"platform": "whatsapp", "name": unique("window"), "credentials": {"appSecret": secret}}
    account = user.post("/api/accounts", body, expect=201)

    def deliver(*values):
        batch.deliver(hub, account, secret, batch.envelope(*values))

    # Nobody has written yet.
    echo = {"from": "15550001111", "to": "16505550000", "id": "wamid.1", "type": "text", "timestamp": "1795000000",
            "text": {"body": "first"}}
    deliver(("smb_message_echoes", {"message_echoes": [echo]}))
    assert user.conversations()[0]["replyWindow"] == {"openUntil": None, "after": "template"}

    inbound = {"from": "16505550000", "id": "wamid.2", "type": "text", "timestamp": "1795000100",
               "text": {"body": "answer"}}
    deliver(("messages", {"messages": [inbound]}))
    open_until = {"openUntil": "2026-11-19T11:08:20.000Z", "after": "template"}
    (conversation,) = user.conversations()
    assert conversation["capabilities"] == catalogue(hub)["whatsapp"]
    assert conversation["replyWindow"] == open_until

    # What is sent later, and what comes late, does not move it.
    deliver(("smb_message_echoes", {"message_echoes": [echo | {"id": "wamid.3", "timestamp": "1795000200"}]}))
    deliver(("messages", {"messages": [inbound | {"id": "wamid.0", "timestamp": "1794990000"}]}))
    (conversation,) = user.conversations()
    assert conversation["lastMessage"]["direction"] == "outbound"
    assert conversation["replyWindow"] == open_until
    updates = [event["data"]["conversation"] for event in user.events() if event["type"] == "conversation_update"]
    assert updates[-1] == conversation
