"""A mailbox as an account: mail comes out of a real Dovecot over IMAP, answers go out to a real SMTP server.

What the SMTP server takes is brought into the other side's mailbox by the test, as the servers in between would.
"""

import email.utils
import shutil
import time

import pytest

from hub import Hub, unique, wait_until
from mail_servers import DOVECOT, PASSWORD, MailServers, written

pytestmark = pytest.mark.skipif(not shutil.which(DOVECOT), reason="Dovecot is not installed: apt-get install dovecot-imapd")


@pytest.fixture(scope="module")
def servers():
    servers = MailServers()
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def hub(servers):
    hub = Hub("email", OUTBOUND_CA_FILE=servers.authority)
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture
def box():
    return unique("box")


@pytest.fixture
def peer():
    return unique("peer")


def connect(hub, user, servers, box, settings=None, waits=True, **more):
    credentials = {
        "address": f"{box}@hub.test",
        "name": "Support Team",
        "imapHost": "localhost",
        "imapPort": str(servers.imap_port),
        "smtpHost": "localhost",
        "smtpPort": str(servers.smtp_starttls),
        "smtpSecurity": "starttls",
        "username": box,
        "password": PASSWORD,
    }
    body = {"platform": "email", "name": box, "credentials": credentials | more, "settings": settings or {}}
    account = user.post("/api/accounts", body, expect=201)
    if waits:
        with hub.database() as database:
            wait_until(lambda: is_read(database, account), 15, "the first look at the mailbox", every=0.1)
    return account


def is_read(database, account):
    row = database.execute("SELECT cursor IS NOT NULL FROM polls WHERE account_id = %s", [account["id"]]).fetchone()
    return row and row[0]


def state(user, account):
    return user.get(f"/api/accounts/{account['id']}")


def place(user, account, count=1):
    """The one conversation of an account, with so many messages, the newest first."""

    def found():
        conversations = user.conversations(account=account["id"])
        assert len(conversations) <= 1, conversations
        if conversations and len(messages := user.messages(conversations[0]["id"])) >= count:
            return conversations[0], messages

    return wait_until(found, 15, f"{count} messages")


def send(user, conversation, text, expect=201, **more):
    return user.post(f"/api/conversations/{conversation['id']}/messages", {"text": text} | more, expect=expect)


def settled(user, message, wanted, seconds=15):
    def found():
        now = user.get(f"/api/messages/{message['id']}")
        return now["status"] == wanted and now

    return wait_until(found, seconds, f"status {wanted} of {user.get('/api/messages/' + message['id'])}")


def test_a_mail_is_there_as_soon_as_the_mailbox_has_it(hub, user, servers, box, peer):
    account = connect(hub, user, servers, box)
    time.sleep(0.5)
    delays = []
    with servers.mailbox(box) as mailbox:
        for number in range(1, 4):
            mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", f"Question {number}", "How much?"))
            begin = time.monotonic()
            wait_until(lambda: len(user.conversations(account=account["id"])) == number, 10)
            delays.append(time.monotonic() - begin)
    assert max(delays) < 2, delays
    assert user.unread()["totalUnread"] == 3
    assert sorted(c["title"] for c in user.conversations(account=account["id"])) == [f"Question {n}" for n in (1, 2, 3)]


def test_a_thread_goes_back_and_forth(hub, user, servers, box, peer):
    account = connect(hub, user, servers, box)
    ours, theirs, third = f"{box}@hub.test", f"{peer}@peer.test", f"{peer}-boss@peer.test"
    first = written(f"Ada Peer <{theirs}>", f"{ours}, {third}", "Angebot für März", "Wie viel?\n")
    first.add_attachment(b"%PDF-1.4 x", maintype="application", subtype="pdf", filename="Liste März.pdf")
    with servers.mailbox(box) as mailbox:
        mailbox.put(first)
    conversation, (message,) = place(user, account)
    assert (conversation["kind"], conversation["title"]) == ("email", "Angebot für März")
    assert (message["text"], message["sender"]["id"], message["sender"]["name"]) == ("Wie viel?", theirs, "Ada Peer")
    (attachment,) = message["attachments"]
    assert (attachment["name"], attachment["kind"], attachment["size"]) == ("Liste März.pdf", "file", 10)

    content = bytes(range(256)) * 300
    upload = hub.request(
        "POST", "/api/uploads?name=Preis%C3%BCbersicht.png", token=user.token, data=content, headers={"Content-Type": "image/png"}
    ).json()
    answer = send(user, conversation, "Grüße 👋, siehe Anhang.", attachments=[{"uploadId": upload["uploadId"]}])
    facts, received = servers.carry(theirs, peer)
    assert sorted(facts["recipients"]) == sorted([theirs, third])
    assert (facts["sender"], facts["tls"], facts["user"]) == (ours, True, box)
    assert (received["From"], received["Subject"]) == (f"Support Team <{ours}>", "Re: Angebot für März")
    assert email.utils.getaddresses([received["To"], received["Cc"]]) == [("Ada Peer", theirs), ("", third)]
    assert received["In-Reply-To"] == received["References"] == first["Message-ID"]
    assert received.get_body().get_content().strip() == "Grüße 👋, siehe Anhang."
    (file,) = received.iter_attachments()
    assert (file.get_filename(), file.get_content_type(), file.get_content()) == ("Preisübersicht.png", "image/png", content)
    sent = settled(user, answer, "sent")
    assert f"<{sent['externalId']}>" == received["Message-ID"]
    assert sent["externalId"].endswith("@hub.test")

    quoted = "\n".join(f"> {line}" for line in received.get_body().get_content().splitlines())
    text = f"Danke!\n\nOn Wed, 25 Nov 2026 at 10:00, Support Team <{ours}> wrote:\n{quoted}\n"
    # The clock of a mail has seconds only.
    second = written(
        f"Ada Peer <{theirs}>", ours, "Re: Angebot für März", text, answers=received, date=time.time() + 1
    )
    with servers.mailbox(box) as mailbox:
        mailbox.put(second)
    _, messages = place(user, account, 3)
    assert [m["text"] for m in messages] == ["Danke!", "Grüße 👋, siehe Anhang.", "Wie viel?"]
    assert messages[0]["replyTo"]["id"] == answer["id"]
    send(user, conversation, "Gern.")
    last = wait_until(lambda: [m for m in servers.sent(theirs) if b"Gern." in m[2]], 10)[0][2].decode()
    references = email.message_from_string(last)["References"].split()
    assert references == [first["Message-ID"], received["Message-ID"], second["Message-ID"]]


def test_sent_mail_is_kept_and_what_others_send_is_seen(hub, user, servers, box, peer):
    account = connect(hub, user, servers, box, sentMailbox="Sent", sentCopy="append")
    first = written(f"{peer}@peer.test", f"{box}@hub.test", "Order", "Where is it?")
    with servers.mailbox(box) as mailbox:
        mailbox.put(first)
        conversation, _ = place(user, account)
        answer = settled(user, send(user, conversation, "On its way."), "sent")
        (copy,) = wait_until(lambda: mailbox.all("Sent"), 10, "the copy among the sent mail")
        assert copy["Message-ID"] == f"<{answer['externalId']}>"
        # A colleague answers with a mail program, from another address of the account.
        mailbox.put(written(f"{box}+desk@hub.test", f"{peer}@peer.test", "Re: Order", "It arrived.", answers=first), "Sent")
        # News of the inbox let the hub look at once.
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Re: Order", "Thanks.", answers=copy))
    _, messages = place(user, account, 4)
    assert sorted((m["direction"], m["text"]) for m in messages) == [
        ("inbound", "Thanks."), ("inbound", "Where is it?"), ("outbound", "It arrived."), ("outbound", "On its way.")
    ]
    assert user.unread()["totalUnread"] == 2


def test_a_mailbox_that_was_made_anew_gives_each_mail_once(hub, user, servers, box, peer):
    mails = [written(f"{peer}@peer.test", f"{box}@hub.test", "News", f"number {n}", identifier=f"<{box}.{n}@peer.test>") for n in range(1, 5)]
    for mail in mails[1:]:
        mail["References"] = mails[0]["Message-ID"]
    old = written(f"{peer}@peer.test", f"{box}@hub.test", "News", "too old", References=mails[0]["Message-ID"])
    with servers.mailbox(box) as mailbox:
        mailbox.imap.create("Work")
        account = connect(hub, user, servers, box, mailbox="Work")
        for mail in mails[:3]:
            mailbox.put(mail, "Work")
        place(user, account, 3)
        mailbox.make_anew("Work")
        mailbox.put(old, "Work", date=time.time() - 40 * 86_400)
        for mail in mails:
            mailbox.put(mail, "Work")
    # The hub waits in the mailbox that is gone, until the server ends its session.
    servers.restart_dovecot()
    _, messages = place(user, account, 4)
    assert [m["text"] for m in messages] == [f"number {n}" for n in (4, 3, 2, 1)]
    news = [e["data"]["message"]["text"] for e in user.events() if e["type"] == "new_message"]
    assert sorted(news) == [f"number {n}" for n in range(1, 5)]


def test_history_comes_down_to_its_limit_and_says_nothing(hub, user, servers, box, peer):
    day = 86_400
    with servers.mailbox(box) as mailbox:
        for age in (40, 20, 10, 5, 1):
            date = time.time() - age * day
            mail = written(f"{peer}@peer.test", f"{box}@hub.test", f"{age} days ago", "Hello", date=date)
            mailbox.put(mail, date=date)
    account = connect(hub, user, servers, box, settings={"historyDays": 30})
    wait_until(lambda: len(user.conversations(account=account["id"])) == 4, 15, "four conversations")
    found = user.conversations(account=account["id"])
    assert {c["title"] for c in found} == {f"{age} days ago" for age in (20, 10, 5, 1)}
    assert [e for e in user.events() if e["type"] == "new_message"] == []
    with servers.mailbox(box) as mailbox:
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Now", "Hello"))
    wait_until(lambda: [e for e in user.events() if e["type"] == "new_message"], 10, "the live mail")


def test_a_wrong_password_is_told_with_what_to_do(hub, user, servers, box, peer):
    account = connect(hub, user, servers, box, waits=False, password="wrong")
    wait_until(lambda: state(user, account)["state"] == "bad_credentials", 15)
    assert "password" in state(user, account)["stateAction"]
    assert "wrong" not in str(state(user, account))
    user.patch(f"/api/accounts/{account['id']}", {"credentials": {"password": PASSWORD}})
    with hub.database() as database:
        wait_until(lambda: is_read(database, account), 15)
    with servers.mailbox(box) as mailbox:
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Order", "Hello"))
    place(user, account)
    assert state(user, account)["state"] == "connected"


def test_what_the_smtp_server_refuses(hub, user, servers, box):
    account = connect(hub, user, servers, box)
    with servers.mailbox(box) as mailbox:
        mailbox.put(written("somebody@peer.test", f"{box}@hub.test", "Order", "Hello"))
    conversation, _ = place(user, account)
    failed = settled(user, send(user, conversation, "no such user", platform={"to": ["rcpt550@peer.test"]}), "failed")
    assert "550 5.1.1 no such user (rcpt550@peer.test)" in failed["statusReason"]
    failed = settled(user, send(user, conversation, "not wanted", platform={"to": ["data554@peer.test"]}), "failed")
    assert "554 5.7.1 not wanted" in failed["statusReason"]
    later = send(user, conversation, "come back", platform={"to": ["data451@peer.test"]})
    with hub.database() as database:
        attempts = "SELECT attempts, reason FROM outbox WHERE message_id = %s"
        row = wait_until(lambda: (r := database.execute(attempts, [later["id"]]).fetchone()) and r[0] > 1 and r, 10, "another try")
    assert "451 4.3.0 try again" in row[1]
    assert user.get(f"/api/messages/{later['id']}")["status"] == "queued"
    assert not [facts for _, facts, _ in servers.sent("data451@peer.test")]


def test_what_cannot_be_sent_is_refused_before_the_network(hub, user, servers, box, peer):
    account = connect(hub, user, servers, box, smtpHost="")
    with servers.mailbox(box) as mailbox:
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Order", "Hello"))
    conversation, (message,) = place(user, account)
    assert send(user, conversation, "x", expect=422)["code"] == "missing_credentials"
    user.patch(f"/api/accounts/{account['id']}", {"credentials": {"smtpHost": "localhost"}})
    assert send(user, conversation, "x", platform={"to": ["a b"]}, expect=422)["code"] == "invalid_content"
    response = user.request("POST", f"/api/messages/{message['id']}/reactions", json={"emoji": "👍"})
    assert response.status_code == 422
    bad = {"address": "a@hub.test", "imapHost": "mail.example.com", "imapSecurity": "none", "password": "x"}
    response = user.request("POST", "/api/accounts", json={"platform": "email", "name": "Bad", "credentials": bad})
    assert response.status_code in (400, 422) and "imapSecurity" in response.text


def test_killed_behind_the_final_dot_it_is_unknown_until_the_sent_copy_tells(hub, user, servers, box, peer):
    """And what comes while the hub is down is there after its start, once."""
    account = connect(hub, user, servers, box, sentMailbox="Sent")
    first = written(f"{peer}@peer.test", f"{box}@hub.test", "Order", "Hello")
    held = f"held@{box}.test"
    with servers.mailbox(box) as mailbox:
        mailbox.put(first)
        conversation, _ = place(user, account)
        message = send(user, conversation, "did it go?", platform={"to": [held]})
        ((_, _, raw),) = wait_until(lambda: servers.sent(held), 10, "the mail at the SMTP server")
        hub.kill()
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Re: Order", "still there?", answers=first))
        hub.start()
        settled(user, message, "unknown", 25)
        _, messages = place(user, account, 3)
        # The server keeps what it sends, as many do.
        mailbox.put(raw, "Sent", flags="\\Seen")
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Re: Order", "hello?", answers=first))
    found = settled(user, message, "sent", 20)
    assert f"Message-ID: <{found['externalId']}>".encode() in raw
    _, messages = place(user, account, 4)
    assert sorted(m["text"] for m in messages) == ["Hello", "did it go?", "hello?", "still there?"]
    assert len(servers.sent(held)) == 1
