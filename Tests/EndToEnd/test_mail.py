"""Mail by webhook: threads, files and statuses, through the whole hub."""

import base64
import itertools

import requests


def connect(hub, user, platform, **credentials):
    body = {"platform": platform, "name": "Mail", "credentials": credentials}
    account = user.post("/api/accounts", body, expect=201)
    return f"{hub.url}/webhooks/{platform}/{account['accountKey']}"


def post(url, **options):
    session = requests.Session()
    session.trust_env = False
    return session.post(url, timeout=15, **options).status_code


def mail(number, headers, text="Hello", **more):
    return {
        "MessageID": f"00000000-0000-0000-0000-{number:012}",
        "From": "Bob Lee <bob@example.com>",
        "To": "hub@example.com",
        "Subject": "Re: Order",
        "Date": f"Fri, 20 Nov 2026 23:{number:02}:00 +0000",
        "TextBody": text,
        "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
        **more,
    }


THREAD = [
    mail(1, {"Message-ID": "<1@example.com>"}, Subject="Order"),
    mail(2, {"Message-ID": "<2@example.com>", "References": "<1@example.com>", "In-Reply-To": "<1@example.com>"}),
    mail(3, {"Message-ID": "<3@example.com>", "References": "<1@example.com> <2@example.com>"}),
]


def test_a_thread_is_one_conversation_in_any_order(hub):
    for order in itertools.permutations(THREAD):
        user = hub.user()
        url = connect(hub, user, "postmark", username="pm", password="s3cret")
        for document in order + order:
            assert post(url, json=document, auth=("pm", "s3cret")) == 200
        (conversation,) = user.conversations()
        assert conversation["kind"] == "email"
        assert conversation["title"] == "Order"
        assert conversation["unreadCount"] == 3
        messages = user.messages(conversation["id"])
        assert [message["externalId"] for message in messages] == [f"{n}@example.com" for n in (3, 2, 1)]


def test_a_wrong_password_is_refused(hub, user):
    url = connect(hub, user, "postmark", username="pm", password="s3cret")
    assert post(url, json=THREAD[0], auth=("pm", "wrong")) == 401
    assert post(url, json=THREAD[0]) == 401
    assert post(url + "?token=s3cret", json=THREAD[0]) == 401
    assert user.conversations() == []


def test_a_status_finds_the_mail_that_its_sender_named(hub, user):
    url = connect(hub, user, "postmark", webhookToken="t0ken", address="hub@example.com") + "?token=t0ken"
    own = mail(4, {"Message-ID": "<own@example.com>", "References": "<1@example.com>"})
    own["From"] = "hub@example.com"
    event = {
        "RecordType": "Delivery",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "DeliveredAt": "2026-11-20T23:59:58Z",
        "Metadata": {"hub-conversation": "1@example.com", "hub-message": "own@example.com"},
    }
    # The news comes first and waits.
    for document in (event, THREAD[0], own):
        assert post(url, json=document) == 200
    (conversation,) = [item for item in user.conversations() if item["kind"] == "email"]
    (sent, received) = user.messages(conversation["id"])
    assert (sent["direction"], sent["status"]) == ("outbound", "delivered")
    assert received["direction"] == "inbound"
    assert conversation["unreadCount"] == 1


def test_a_form_with_a_file_is_a_message_with_an_attachment(hub, user):
    url = connect(hub, user, "sendgrid", webhookToken="t0ken") + "?token=t0ken"
    fields = {
        "headers": "Message-ID: <1@example.com>\r\n",
        "from": "Bob Lee <bob@example.com>",
        "to": "hub@example.com",
        "subject": "Grüße",
        "text": "Neu\n\nAm 20.11.2026 um 23:50 schrieb Hub:\n> Alt",
        "charsets": '{"text": "utf-8"}',
    }
    files = {"attachment1": ("bild.png", base64.b64decode("iVBORw0KGgo="), "image/png")}
    assert post(url, data=fields, files=files) == 200
    (conversation,) = user.conversations()
    (message,) = user.messages(conversation["id"])
    assert message["text"] == "Neu"
    (attachment,) = message["attachments"]
    assert (attachment["name"], attachment["kind"], attachment["size"]) == ("bild.png", "image", 8)
    assert attachment["externalId"] == "part:field/attachment1"
