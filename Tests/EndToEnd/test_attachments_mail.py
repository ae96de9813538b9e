"""Files of mails: they came with the mail, and the same job takes them out of the delivery that the hub keeps.

Each provider's own samples are read by the hub and by Python's own mail parser, a mailbox by a real Dovecot.
"""

import base64
import email
import email.policy
import hashlib
import hmac
import json
import shutil
import time

import pytest
import requests

from attachments import fetch, png, settled
from catalogue import connect, samples, simulate
from hub import Hub, unique, wait_until
from mail_servers import DOVECOT, PASSWORD, MailServers, written

KEY = "signing-key"


class Mailgun:
    """An account that takes routed mail, signed as Mailgun signs."""

    def __init__(self, user):
        self.user = user
        body = {"platform": "mailgun", "name": "M", "credentials": {"signingKey": KEY, "address": ["support@mg.example"]}}
        self.account = user.post("/api/accounts", body, expect=201)

    def deliver(self, fields, files=None):
        stamp, token = str(int(time.time())), unique("token")
        code = hmac.new(KEY.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        fields = fields | {"timestamp": stamp, "token": token, "signature": code}
        hub = self.user.hub
        answer = hub.session.post(
            f"{hub.url}/webhooks/mailgun/{self.account['accountKey']}", data=fields, files=files, timeout=30
        )
        assert answer.status_code == 200, answer.text

    def mail(self, message):
        self.deliver({"body-mime": message.as_bytes(policy=email.policy.SMTP), "recipient": "support@mg.example"})

    def message(self, identifier):
        conversations = self.user.conversations(account=self.account["id"])
        found = [m for one in conversations for m in self.user.messages(one["id"])]
        return next(m for m in found if m["externalId"] == identifier)


def files_of(hub):
    return [path for path in (hub.data / "files").rglob("*") if path.is_file()]


def expected_files(sample):
    """What a provider's sample holds, by the attachment's name, as Python reads it."""
    request = sample["request"]
    if "multipart" in request:
        parts = [part for part in request["multipart"] if "filename" in part]
        files = {
            part["filename"]: base64.b64decode(part["base64"]) if "base64" in part else part["text"].encode() for part in parts
        }
        raw = next((part["text"] for part in request["multipart"] if part["name"] == "email"), None)
    elif "form" in request:
        files, raw = {}, dict(request["form"]).get("body-mime")
    else:
        files = {one["Name"]: base64.b64decode(one["Content"]) for one in request["body"].get("Attachments", [])}
        raw = request["body"].get("RawEmail")
    return mail_files(raw.encode()) if raw else files


def mail_files(raw):
    files = {}
    for part in email.message_from_bytes(raw, policy=email.policy.default).walk():
        if part.get_content_type() == "message/rfc822":
            files[f"{part.get_payload(0)['Subject']}.eml"] = part.get_payload(0).as_bytes(policy=email.policy.SMTP)
        elif part.get_filename():
            files[part.get_filename()] = part.get_payload(decode=True)
    return files


@pytest.mark.parametrize(
    "platform, name",
    [("mailgun", "attachments"), ("mailgun", "mime"), ("sendgrid", "attachments"), ("sendgrid", "raw"),
     ("postmark", "attachments"), ("postmark", "raw")],
)
def test_each_provider(hub, user, platform, name):
    account = connect(user, platform)
    simulate(hub, platform, account, name)
    [conversation] = user.conversations(account=account["id"])
    message = next(m for m in user.messages(conversation["id"]) if m["attachments"])
    expected = expected_files(samples(platform)[name])
    assert [file["name"] for file in message["attachments"]] == list(expected)
    for position, file in enumerate(message["attachments"], 1):
        stored = settled(user, message, "stored", position)
        content = fetch(user, stored["url"]).content
        # Python writes a mail inside anew; the hub gives it as it was sent.
        assert content.rstrip() == expected[file["name"]].rstrip(), (file["name"], content)
        assert stored["size"] == len(content)
    # HTML names its pictures by Content-ID, and details say which attachment that is.
    places = {file["externalId"] for file in user.get(f"/api/messages/{message['id']}")["attachments"]}
    assert set(message["details"].get("contentIds", {}).values()) <= places
    assert "delivery" not in message["attachments"][0]


def test_a_large_form_with_many_files(user):
    mailgun = Mailgun(user)
    contents = [png(50_000 + n * 1_000) for n in range(30)]
    headers = [["Message-Id", "<many@peer.example>"], ["From", "ada@peer.example"], ["Subject", "Many"]]
    fields = {"from": "ada@peer.example", "body-plain": "look", "message-headers": json.dumps(headers), "attachment-count": "30"}
    files = {f"attachment-{n}": (f"{n}.png", content, "image/png") for n, content in enumerate(contents, 1)}
    mailgun.deliver(fields, files)
    message = mailgun.message("many@peer.example")
    assert len(message["attachments"]) == 30
    for position, content in enumerate(contents, 1):
        stored = settled(user, message, "stored", position, seconds=60)
        assert fetch(user, stored["url"]).content == content


def test_a_mail_that_comes_again_is_taken_apart_once(own_hub):
    hub = own_hub("again")
    user = hub.user()
    mailgun = Mailgun(user)
    mail = written("ada@peer.example", "support@mg.example", "Twice", "hello", identifier="<twice@peer.example>")
    mail.add_attachment(png(1_000), maintype="image", subtype="png", filename="a.png")
    for _ in range(3):
        mailgun.mail(mail)
    message = mailgun.message("twice@peer.example")
    tag = fetch(user, settled(user, message, "stored")["url"]).headers["ETag"]
    [delivery, *_] = user_deliveries(hub, mailgun.account)
    hub.command("deliveries", "replay", delivery, check=False)
    mailgun.mail(mail)
    time.sleep(1.5)
    assert fetch(user, message["attachments"][0]["url"]).headers["ETag"] == tag
    assert len(files_of(hub)) == 1


def user_deliveries(hub, account):
    with hub.database() as database:
        rows = database.execute("SELECT id FROM deliveries WHERE account_id = %s ORDER BY received_at", [account["id"]])
        return [str(row[0]) for row in rows.fetchall()]


def test_a_file_outlives_its_delivery_and_a_lost_one_is_said(own_hub):
    hub = own_hub("outlives")
    user = hub.user()
    mailgun = Mailgun(user)
    mail = written("ada@peer.example", "support@mg.example", "Kept", "hello", identifier="<kept@peer.example>")
    mail.add_attachment(png(1_000), maintype="image", subtype="png", filename="a.png")
    mail.add_attachment(b"text", maintype="application", subtype="octet-stream", filename="b.bin")
    mailgun.mail(mail)
    message = mailgun.message("kept@peer.example")
    stored = settled(user, message, "stored")
    settled(user, message, "stored", 2)
    with hub.database() as database:
        database.execute("DELETE FROM deliveries WHERE account_id = %s", [mailgun.account["id"]])
        database.execute("UPDATE attachments SET state = 'failed', storage_key = NULL WHERE position = 2")
    assert fetch(user, stored["url"]).content == png(1_000)
    user.request("POST", message["attachments"][1]["url"] + "/fetch", expect=202)
    assert "not kept" in settled(user, message, "failed", 2)["reason"]


def test_what_is_not_what_the_mail_says_is_refused(user):
    mailgun = Mailgun(user)
    mail = written("ada@peer.example", "support@mg.example", "Lies", "hello", identifier="<lies@peer.example>")
    mail.add_attachment(b"<!doctype html><script>1</script>", maintype="image", subtype="png", filename="a.png")
    mail.add_attachment("<svg xmlns='http://www.w3.org/2000/svg'/>", subtype="html", filename="page.html")
    mailgun.mail(mail)
    message = mailgun.message("lies@peer.example")
    assert "no image" in settled(user, message, "failed")["reason"]
    page = fetch(user, settled(user, message, "stored", 2)["url"])
    assert page.headers["Content-Disposition"].startswith("attachment;") and "sandbox" in page.headers["Content-Security-Policy"]


def test_a_part_is_only_as_large_as_files_may_be(own_hub):
    hub = own_hub("partsize", ATTACHMENT_BYTES_MAX="10K")
    user = hub.user()
    mailgun = Mailgun(user)
    mail = written("ada@peer.example", "support@mg.example", "Large", "hello", identifier="<large@peer.example>")
    mail.add_attachment(png(20_000), maintype="image", subtype="png", filename="a.png")
    mailgun.mail(mail)
    assert "10240 bytes" in settled(user, mailgun.message("large@peer.example"), "failed")["reason"]
    assert files_of(hub) == []


# A mailbox.


@pytest.fixture(scope="module")
def servers():
    if not shutil.which(DOVECOT):
        pytest.skip("Dovecot is not installed: apt-get install dovecot-imapd")
    servers = MailServers()
    yield servers
    servers.close()


@pytest.fixture
def mail_hub(servers):
    hub = Hub("mailfiles", OUTBOUND_CA_FILE=servers.authority)
    try:
        yield hub.start()
    finally:
        hub.close()


def mailbox(user, servers, box):
    credentials = {
        "address": f"{box}@hub.test", "imapHost": "localhost", "imapPort": str(servers.imap_port), "smtpHost": "localhost",
        "smtpPort": str(servers.smtp_starttls), "smtpSecurity": "starttls", "username": box, "password": PASSWORD,
    }
    return user.post("/api/accounts", {"platform": "email", "name": box, "credentials": credentials}, expect=201)


def test_a_mailbox(mail_hub, servers):
    user, box = mail_hub.user(), unique("box")
    account = mailbox(user, servers, box)
    with mail_hub.database() as database:
        query = "SELECT cursor IS NOT NULL FROM polls WHERE account_id = %s"
        wait_until(lambda: (row := database.execute(query, [account["id"]]).fetchone()) and row[0], 15, "the first look")
    mail = written("Ada <ada@peer.test>", f"{box}@hub.test", "Files", "See the files.")
    mail.add_alternative("<p>See <img src='cid:logo@x'></p>", subtype="html")
    logo = png(4_000)
    mail.get_payload()[1].add_related(logo, maintype="image", subtype="png", cid="<logo@x>", filename="logo.png")
    large = bytes(n * 31 % 256 for n in range(3_000_000))
    text = "Zeile mit Umlauten: äöü\r\nund noch eine = Zeile\r\n" * 50
    mail.add_attachment(large, maintype="application", subtype="octet-stream", filename="groß.bin")
    mail.add_attachment(text, subtype="plain", charset="iso-8859-1", cte="quoted-printable", filename="notes.txt")
    inner = written("bob@peer.test", "ada@peer.test", "Inner", "The mail inside")
    mail.add_attachment(inner, filename="inner.eml")
    raw = mail.as_bytes(policy=email.policy.SMTP)
    with servers.mailbox(box) as client:
        client.put(raw)

    def arrived():
        conversations = user.conversations(account=account["id"])
        return conversations and user.messages(conversations[0]["id"])[0]

    message = wait_until(arrived, 15, "the mail")
    by_name = {file["name"]: position for position, file in enumerate(message["attachments"], 1)}
    assert set(by_name) == {"logo.png", "groß.bin", "notes.txt", "inner.eml"}

    def content(name):
        return fetch(user, settled(user, message, "stored", by_name[name])["url"])

    assert content("logo.png").content == logo and content("logo.png").headers["Content-Type"] == "image/png"
    assert content("groß.bin").content == large
    assert content("notes.txt").content == text.encode("iso-8859-1")
    assert content("notes.txt").headers["Content-Disposition"].startswith("attachment;")
    nested = email.message_from_bytes(content("inner.eml").content, policy=email.policy.default)
    assert (nested["Subject"], nested.get_content().strip()) == ("Inner", "The mail inside")
    part = message["details"]["contentIds"]["logo@x"]
    assert message["attachments"][by_name["logo.png"] - 1]["externalId"] == part
    assert requests.get(mail_hub.url + message["attachments"][0]["url"], timeout=5).status_code == 401
    stranger = mail_hub.user()
    assert fetch(stranger, message["attachments"][0]["url"]).status_code == 404
