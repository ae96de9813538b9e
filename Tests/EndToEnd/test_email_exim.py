"""A mailbox as an account among servers of Debian's: mail comes by Exim into Dovecot, and goes out by Exim."""

import shutil
import time

import pytest

from exim import Exim, can_run, owner
from hub import Hub, wait_until
from mail_servers import DOVECOT, MailServers, written
from test_email import box, connect, peer, place, send, settled  # noqa: F401 (two are fixtures)

pytestmark = pytest.mark.skipif(
    not (shutil.which(DOVECOT) and can_run()),
    reason="as root only, with Dovecot and Exim: apt-get install dovecot-imapd exim4-daemon-light",
)


@pytest.fixture(scope="module")
def servers():
    servers = MailServers(owner())
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def exim(servers):
    exim = Exim(servers)
    yield exim
    exim.close()


@pytest.fixture(scope="module")
def hub(servers):
    hub = Hub("exim", OUTBOUND_CA_FILE=servers.authority)
    try:
        yield hub.start()
    finally:
        hub.close()


def delivered(mailbox, text):
    """The mail that says so, when it is there."""
    return next((mail for mail in mailbox.all() if text in mail.get_body().get_content()), None)


def test_a_thread_goes_through_debians_servers_both_ways(hub, user, servers, exim, box, peer):  # noqa: F811
    ours, theirs = f"{box}@hub.test", f"{peer}@peer.test"
    with servers.mailbox(peer) as mailbox:
        account = connect(hub, user, servers, box, smtpPort=str(exim.port))
        first = written(f"Ada Peer <{theirs}>", ours, "Angebot für März", "Wie viel?\n")
        exim.submit(first, peer)
        conversation, (question,) = place(user, account)
        assert (question["text"], question["sender"]["id"]) == ("Wie viel?", theirs)

        answer = send(user, conversation, "Grüße 👋, hundert.")
        received = wait_until(lambda: delivered(mailbox, "hundert"), 15, "the answer in the mailbox", every=0.2)
        assert received["In-Reply-To"] == received["References"] == first["Message-ID"]
        assert received["Subject"] == "Re: Angebot für März"
        # Exim says how it came: over TLS and with a login.
        assert "with esmtpsa" in received["Received"], received["Received"]
        assert received["Return-path"] == f"<{ours}>"
        sent = settled(user, answer, "sent")
        assert f"<{sent['externalId']}>" == received["Message-ID"]

        # The clock of a mail has seconds only.
        later = time.time() + 1
        exim.submit(
            written(theirs, ours, "Re: Angebot für März", "Zu teuer.\n", answers=received, date=later), peer
        )
        _, messages = place(user, account, 3)
        assert [m["text"] for m in messages] == ["Zu teuer.", "Grüße 👋, hundert.", "Wie viel?"]
        assert messages[0]["replyTo"]["id"] == answer["id"]
        send(user, conversation, "Achtzig.")
        last = wait_until(lambda: delivered(mailbox, "Achtzig"), 15, "the last answer", every=0.2)
        assert last["References"].split()[:2] == [first["Message-ID"], received["Message-ID"]]


def test_what_exim_refuses_is_told(hub, user, servers, exim, box, peer):  # noqa: F811
    account = connect(hub, user, servers, box, smtpPort=str(exim.port))
    with servers.mailbox(box) as mailbox:
        mailbox.put(written(f"{peer}@peer.test", f"{box}@hub.test", "Order", "Where is it?"))
    conversation, _ = place(user, account)
    refused = settled(user, send(user, conversation, "On its way."), "failed")
    assert "no such mailbox" in refused["statusReason"], refused
