"""One request with a hundred messages and the statuses of fifty sent ones is one transaction."""

import hashlib
import hmac
import json
import secrets

from hub import unique

MESSAGES = 100
SENT = 50
PEOPLE = 10
STATUSES = ("sent", "delivered", "read")
START = 1_795_000_000


def envelope(*values):
    metadata = {"display_phone_number": "15550001111", "phone_number_id": "106540352242922"}
    changes = [
        {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata} | value}
        for field, value in values
    ]
    return {"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": changes}]}


def person(number):
    return f"1650555{number % PEOPLE:04d}"


def sent():
    return [
        {
            "from": "15550001111", "to": person(number), "id": f"wamid.OUT{number}", "type": "text",
            "timestamp": str(START + number), "text": {"body": f"out {number}"},
        }
        for number in range(SENT)
    ]


def received():
    return [
        {
            "from": person(number), "id": f"wamid.IN{number}", "type": "text", "timestamp": str(START + 1000 + number),
            "text": {"body": f"in {number}"},
        }
        for number in range(MESSAGES)
    ]


def statuses():
    return [
        {
            "id": f"wamid.OUT{number}", "recipient_id": person(number), "status": status,
            "timestamp": str(START + 2000 + number + step),
        }
        for number in range(SENT)
        for step, status in enumerate(STATUSES)
    ]


def deliver(hub, account, secret, payload):
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    path = f"/webhooks/whatsapp/{account['accountKey']}"
    response = hub.session.post(hub.url + path, data=body, headers=headers, timeout=15)
    assert response.status_code == 200, response.text


# The transactions that wrote the rows which the second request has to write, and how many rows these are.
WRITTEN = {
    "deliveries": """
        SELECT xmin::text, count(*) FROM deliveries
        WHERE account_id = %(account)s AND item_count > %(sent)s GROUP BY 1""",
    "messages received": """
        SELECT xmin::text, count(*) FROM messages
        WHERE account_id = %(account)s AND direction = 0 GROUP BY 1""",
    "messages sent": """
        SELECT xmin::text, count(*) FROM messages
        WHERE account_id = %(account)s AND direction = 1 AND status = 'read' GROUP BY 1""",
    "statuses": """
        SELECT s.xmin::text, count(*) FROM statuses s
        JOIN messages m ON m.tenant_id = s.tenant_id AND m.id = s.message_id
        WHERE m.account_id = %(account)s GROUP BY 1""",
    "conversations": """
        SELECT xmin::text, count(*) FROM conversations WHERE account_id = %(account)s GROUP BY 1""",
    "unread counts": """
        SELECT xmin::text, count(*) FROM memberships WHERE account_id = %(account)s GROUP BY 1""",
    "events": """
        SELECT xmin::text, count(*) FROM events WHERE user_id = %(user)s AND seq > %(seq)s GROUP BY 1""",
}


def test_a_hundred_messages_and_the_statuses_of_fifty_are_one_transaction(hub, user):
    secret = secrets.token_hex(16)
    body = {"platform": "whatsapp", "name": unique("batch"), "credentials": {"appSecret": secret}}
    account = user.post("/api/accounts", body, expect=201)
    deliver(hub, account, secret, envelope(("smb_message_echoes", {"message_echoes": sent()})))
    seq = user.events()[-1]["seq"]

    deliver(hub, account, secret, envelope(
        ("messages", {"messages": received()[:60]}), ("messages", {"statuses": statuses()}),
        ("messages", {"messages": received()[60:]}),
    ))
    values = {"account": account["id"], "user": user.id, "seq": seq, "sent": SENT}
    with hub.database() as database:
        written = {name: database.execute(query, values).fetchall() for name, query in WRITTEN.items()}
    assert {name: len(rows) for name, rows in written.items()} == dict.fromkeys(WRITTEN, 1), written
    assert len({rows[0][0] for rows in written.values()}) == 1, written
    counts = {name: rows[0][1] for name, rows in written.items()}
    assert counts["deliveries"] == 1
    assert counts["messages received"] == MESSAGES
    assert counts["messages sent"] == SENT
    assert counts["statuses"] == SENT * len(STATUSES)
    assert counts["conversations"] == counts["unread counts"] == PEOPLE
    assert counts["events"] >= MESSAGES + SENT

    conversations = user.conversations()
    assert sum(conversation["unreadCount"] for conversation in conversations) == MESSAGES
    messages = [message for one in conversations for message in user.messages(one["id"])]
    assert len(messages) == MESSAGES + SENT
    assert {message["status"] for message in messages if message["direction"] == "outbound"} == {"read"}
    hub.command("verify", "unread")
