"""Links and servers of files that mean no good: other ways to write an address of this machine, answers
without an end or with a false length, redirects in chains, and links of what was deleted."""

import socket
import threading
from urllib.parse import urlsplit

import pytest
import requests

from attachments import Source, fetch, png, settled
from hub import assert_problem
from platform_server import PlatformServer


@pytest.fixture
def source(user):
    made = []

    def make(answer, who=None, **credentials):
        made.append(Source(who or user, answer, **credentials))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


HOSTS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "0",
    "127.0.0.1.",
    "127.255.255.254",
    "LOCALHOST",
    "localhost.",
    "%6cocalhost",
    "127%2e0%2e0%2e1",
    "①②⑦.⓪.⓪.①",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[fe80::1%25lo]",
    "[ff02::1]",
    "user@127.0.0.1",
    "example.com@127.0.0.1",
]


@pytest.mark.parametrize("host", HOSTS)
def test_no_way_to_write_an_address_leads_inside(user, source, host):
    place = source(lambda call: (200, png()))
    other = PlatformServer(lambda call: (200, png()))
    with other:
        message = place.say(place.file(f"http://{host}:{urlsplit(other.url).port}/x.png"))
        [one] = user.get(f"/api/messages/{message['id']}")["attachments"]
        # A name that there is not may come to be: it is tried again for a while.
        try:
            reason = settled(user, message, "failed", seconds=6)["reason"]
            assert "public address" in reason or "cannot be used" in reason, reason
        except AssertionError:
            state = user.get(f"/api/messages/{message['id']}")["attachments"][0]
            assert state["state"] == "remote", state
        assert other.calls == [] and place.server.calls == []


def test_a_chain_of_redirects_is_checked_at_each_step(user, source):
    inner = PlatformServer(lambda call: (200, png()))
    with inner:

        def answer(call):
            if call.path == "/a.png":
                return 302, b"", {"Location": "/b.png"}
            return 307, b"", {"Location": f"{inner.url}/inner"}

        place = source(answer)
        assert "public address" in settled(user, place.say(place.file()), "failed")["reason"]
        assert [call.path for call in place.server.calls] == ["/a.png", "/b.png"]
        assert inner.calls == []


class Endless:
    """Answers without a length, for as long as somebody reads. `head` is what stands before the picture."""

    def __init__(self, head, frame):
        self.head, self.frame = head, frame
        self.sent, self.ended = 0, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            try:
                connection.recv(65_536)
                connection.sendall(self.head)
                part = png(16_000)
                while True:
                    connection.sendall(self.frame(part))
                    self.sent += len(part)
                    part = bytes(16_384)
            except OSError:
                self.ended.set()
            finally:
                connection.close()

    def close(self):
        self.listener.close()


def chunked(part):
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


@pytest.mark.parametrize(
    "head, frame",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n", chunked),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n", bytes),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunked,
        ),
    ],
    ids=["chunked", "to the end", "a refusal"],
)
def test_an_answer_without_an_end_ends_at_the_limit(own_hub, head, frame):
    hub = own_hub("endless", ATTACHMENT_BYTES_MAX="300K")
    user = hub.user()
    server = Endless(head, frame)
    place = Source(user, lambda call: (200, png()), apiURL=server.url)
    try:
        before = hub.memory_bytes()
        message = place.say(place.file(f"{server.url}/a.png"))
        failed = settled(user, message, "failed", seconds=30)
        assert "307200 bytes" in failed["reason"]
        assert server.ended.wait(5)
        # What lay in the buffers of the kernel is no file.
        assert server.sent < 12_000_000, server.sent
        assert hub.memory_bytes() - before < 30_000_000
        assert not [path for path in (hub.data / "files").rglob("*") if path.is_file()]
    finally:
        server.close()
        place.server.close()


def test_an_answer_that_ends_early_is_no_file(user):
    """The length says more than comes: tried again, and never served in part."""
    listener = socket.create_server(("127.0.0.1", 0))
    picture = png(50_000)
    count = [0]

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(65_536)
            count[0] += 1
            body = picture if count[0] > 1 else picture[:30_000]
            head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(picture)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    place = Source(user, lambda call: (200, png()), apiURL=url)
    try:
        stored = settled(user, place.say(place.file(f"{url}/a.png")), "stored", seconds=30)
        assert fetch(user, stored["url"]).content == picture and count[0] == 2
    finally:
        listener.close()
        place.server.close()


def test_a_link_of_a_deleted_message_shows_nothing(hub, user, source):
    place = source(lambda call: (200, png()))
    message = place.say(place.file())
    url = settled(user, message, "stored")["url"]
    link = user.post(url + "/link", expect=201)["url"]
    assert requests.get(hub.url + link, timeout=10).status_code == 200
    identifier = message["externalId"]
    deleted = {"id": identifier, "deletedAt": "2026-11-02T10:00:00.000Z"}
    place.account.deliver({"type": "message.deleted", "conversation": {"id": "c1"}, "message": deleted})
    assert_problem(requests.get(hub.url + link, timeout=10), 404)
    for method, path in (("GET", url), ("POST", url + "/link"), ("POST", url + "/fetch")):
        assert_problem(user.request(method, path), 404)


def test_a_link_of_who_lost_the_account_shows_nothing(hub, user, source):
    place = source(lambda call: (200, png()))
    message = place.say(place.file())
    colleague = hub.user()
    user.patch(f"/api/accounts/{place.account.id}", {"users": [user.id, colleague.id]})
    url = settled(user, message, "stored")["url"]
    link = colleague.post(url + "/link", expect=201)["url"]
    assert requests.get(hub.url + link, timeout=10).status_code == 200
    user.patch(f"/api/accounts/{place.account.id}", {"users": [user.id]})
    assert_problem(requests.get(hub.url + link, timeout=10), 404)
