"""What comes while a hub stands still (SIGSTOP) is there when it goes on.

A stream of events is read on, with what waited in it: who gives it out forgets it. A mailbox whose connection died
meanwhile, without a word, is connected anew.
"""

import json
import os
import queue
import select
import shutil
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from feeds.signal import ANA, NUMBER, OWN
from hub import Hub, unique, wait_until
from mail_servers import DOVECOT, PASSWORD, MailServers, written

# Longer than others wait before they take over, and than a stream may be silent.
STANDSTILL = 15
SILENCE = 65


class Daemon:
    """signal-cli's daemon: all who listen hear the same, what comes while nobody does waits, and what was said is gone."""

    def __init__(self):
        self.lock = threading.Lock()
        self.listeners = []
        self.backlog = []
        self.stamp = 0
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                assert self.path.startswith("/api/v1/events?account="), self.path
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                own = queue.Queue()
                with daemon.lock:
                    daemon.listeners.append(own)
                    for envelope in daemon.backlog:
                        own.put(envelope)
                    daemon.backlog = []
                quiet = time.monotonic()
                try:
                    while not self.is_over():
                        try:
                            text = f"event:receive\ndata:{json.dumps(own.get(timeout=0.2))}\n\n"
                        except queue.Empty:
                            if time.monotonic() - quiet < 5:
                                continue
                            text = ":\n"
                        piece = text.encode()
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        quiet = time.monotonic()
                except OSError:
                    pass
                with daemon.lock:
                    daemon.listeners.remove(own)
                self.close_connection = True

            def is_over(self):
                return bool(select.select([self.connection], [], [], 0)[0])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def say(self, text):
        with self.lock:
            # Messages are known by their author and time.
            self.stamp = stamp = max(self.stamp + 1, int(time.time() * 1000))
            data = {"timestamp": stamp, "message": text, "expiresInSeconds": 0, "viewOnce": False}
            envelope = {"envelope": ANA | {"timestamp": stamp, "dataMessage": data}, "account": NUMBER}
            for own in self.listeners:
                own.put(envelope)
            if not self.listeners:
                self.backlog.append(envelope)

    def has_said_all(self):
        with self.lock:
            return self.listeners and all(own.empty() for own in self.listeners)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Wire:
    """TCP passed on to a port, until it goes dead: then those who are connected hear nothing more, and no end."""

    def __init__(self, port):
        self.target = port
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.pairs = []
        self.connections = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            self.connections += 1
            pair = [near, socket.create_connection(("127.0.0.1", self.target)), False]
            self.pairs.append(pair)
            threading.Thread(target=self.carry, args=(pair,), daemon=True).start()

    @staticmethod
    def carry(pair):
        near, far, _ = pair
        while not pair[2]:
            for source in select.select([near, far], [], [], 0.1)[0]:
                data = source.recv(65536)
                if not data:
                    near.close()
                    far.close()
                    return
                (far if source is near else near).sendall(data)
        far.close()

    def go_dead(self):
        for pair in self.pairs:
            pair[2] = True
        self.dead, self.pairs = self.pairs, []

    def close(self):
        self.door.close()


@pytest.fixture
def hub():
    hub = Hub("frozen-streams")
    try:
        yield hub.start()
    finally:
        if hub.process is not None:
            os.kill(hub.pid, signal.SIGCONT)
        hub.close()


@pytest.mark.timeout(240)
def test_what_waits_in_a_stream_is_read(hub):
    daemon = Daemon()
    try:
        user = hub.user(unique("listener"))
        credentials = {
            "server": daemon.url,
            "number": NUMBER,
            "uuid": OWN["sourceUuid"],
            "token": unique("token"),
            "interface": "daemon",
        }
        user.post(
            "/api/accounts",
            {"platform": "signal", "name": "s", "credentials": credentials, "settings": {"polling": "on"}},
            expect=201,
        )
        daemon.say("one")
        wait_until(lambda: user.unread()["totalUnread"] == 1, 20, "the first message")
        os.kill(hub.pid, signal.SIGSTOP)
        for number in range(20):
            daemon.say(f"meanwhile {number}")
        wait_until(daemon.has_said_all, 10, "the daemon has said them all")
        time.sleep(SILENCE)
        os.kill(hub.pid, signal.SIGCONT)
        wait_until(lambda: user.unread()["totalUnread"] == 21, 30, "what waited in the stream")
        daemon.say("after")
        wait_until(lambda: user.unread()["totalUnread"] == 22, 30, "the stream goes on")
        (conversation,) = user.conversations()
        texts = sorted(message["text"] for message in user.messages(conversation["id"], limit=200))
        assert texts == sorted(["one", "after", *(f"meanwhile {number}" for number in range(20))])
    finally:
        daemon.close()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which(DOVECOT), reason="Dovecot is not installed: apt-get install dovecot-imapd")
def test_a_mailbox_whose_connection_died_is_connected_anew():
    servers = MailServers()
    wire = Wire(servers.imap_port)
    hub = Hub("frozen-mailbox", OUTBOUND_CA_FILE=servers.authority)
    try:
        hub.start()
        user = hub.user(unique("reader"))
        box = unique("box")
        credentials = {
            "address": f"{box}@hub.test",
            "imapHost": "localhost",
            "imapPort": str(wire.port),
            "username": box,
            "password": PASSWORD,
        }
        user.post("/api/accounts", {"platform": "email", "name": box, "credentials": credentials}, expect=201)
        with servers.mailbox(box) as mailbox:

            def deliver(text):
                mailbox.put(written("ada@peer.test", f"{box}@hub.test", text, text))

            wait_until(lambda: wire.connections, 20, "the mailbox is read")
            time.sleep(3)
            deliver("one")
            wait_until(lambda: user.unread()["totalUnread"] == 1, 20, "the first mail")
            os.kill(hub.pid, signal.SIGSTOP)
            wire.go_dead()
            deliver("meanwhile")
            time.sleep(STANDSTILL)
            os.kill(hub.pid, signal.SIGCONT)
            wait_until(lambda: user.unread()["totalUnread"] == 2, 60, "what came meanwhile")
            deliver("after")
            wait_until(lambda: user.unread()["totalUnread"] == 3, 20, "the new connection")
    finally:
        if hub.process is not None:
            os.kill(hub.pid, signal.SIGCONT)
        hub.close()
        wire.close()
        servers.close()
