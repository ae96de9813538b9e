"""What browsers ask of the hub's realtime endpoints: origins, credentials, cookies, scripts."""

import json
import re
import secrets
import socket

import pytest
import requests

from hub import wait_until

ALLOWED = "http://localhost:5173"
FOREIGN = "https://evil.example"
POLLING = "/socket.io/?EIO=4&transport=polling"


def exchange(hub, method, target, *lines, body=b""):
    """The head and the body of one answer, on a connection of its own, which the kernel may give to any shard."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        length = [f"Content-Length: {len(body)}"] if method == "POST" else []
        fields = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{hub.port}", "Connection: close", *length, *lines]
        connection.sendall("\r\n".join(fields).encode() + b"\r\n\r\n" + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), [tuple(line.lower().split(": ", 1)) for line in lines], rest


def values(fields, name):
    return [value for field, value in fields if field == name]


def test_every_shard_lets_the_page_read_its_answers(own_hub):
    """A session lives on one shard, and its requests come in on any: a field twice is none for a browser."""
    hub = own_hub(HUB_SHARDS=2)
    _, fields, body = exchange(hub, "GET", POLLING, f"Origin: {ALLOWED}")
    answers = [fields]
    sid = json.loads(body[1:])["sid"]
    for _ in range(24):
        status, fields, body = exchange(hub, "POST", f"{POLLING}&sid={sid}", f"Origin: {ALLOWED}", body=b"3")
        assert (status, body) == (200, b"ok")
        answers.append(fields)
    for shard in range(256):
        unknown = "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[digit] for digit in (
            shard >> 2, (shard & 3) << 4)) + secrets.token_hex(9) + "AA"
        status, fields, body = exchange(hub, "GET", f"{POLLING}&sid={unknown}", f"Origin: {ALLOWED}")
        assert (status, json.loads(body)) == (400, {"code": 1, "message": "Session ID unknown"}), shard
        answers.append(fields)
    for fields in answers:
        assert values(fields, "access-control-allow-origin") == [ALLOWED]
        assert values(fields, "access-control-allow-credentials") == ["true"]
        assert values(fields, "cache-control") == ["no-store"]


@pytest.mark.parametrize("target", [POLLING, "/api/accounts"])
def test_a_page_can_read_that_its_body_is_too_long(hub, target):
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(
            f"POST {target} HTTP/1.1\r\nHost: hub\r\nOrigin: {ALLOWED}\r\nContent-Length: 99999999\r\n\r\n".encode())
        head = connection.recv(65536).lower()
    assert head.startswith(b"http/1.1 413 ")
    assert head.count(b"access-control-allow-origin: " + ALLOWED.encode()) == 1
    assert b"access-control-allow-credentials: true" in head


@pytest.mark.parametrize("path", ["/ws", "/socket.io/?EIO=4&transport=websocket"])
@pytest.mark.parametrize("origin, status", [
    (None, 101), (ALLOWED, 101), ("http://127.0.0.1:{port}", 101), ("http://127.0.0.1:1", 403), (FOREIGN, 403),
    ("null", 403),
])
def test_pages_that_may_open_a_websocket(hub, path, origin, status):
    """The same pages at both endpoints: the listed ones, and the hub's own."""
    lines = [
        "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    if origin:
        lines.append("Origin: " + origin.format(port=hub.port))
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        head = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{hub.port}", *lines])
        connection.sendall(head.encode() + b"\r\n\r\n")
        assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())


class Script:
    """A page that polls by script tags."""

    def __init__(self, hub, query="", **fields):
        self.url = f"{hub.url}/socket.io/?EIO=3&transport=polling&b64=1{query}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(fields)
        self.index = 0
        self.packets = []
        self.poll()
        self.url += "&sid=" + json.loads(self.packets.pop(0)[1:])["sid"]

    def poll(self):
        answer = self.session.get(f"{self.url}&j={self.index}", timeout=15)
        payload = json.loads(re.fullmatch(rf"___eio\[{self.index}\]\((.*)\);", answer.text, re.DOTALL)[1])
        self.index += 1
        while payload:
            length, payload = payload.split(":", 1)
            self.packets.append(payload[: int(length)])
            payload = payload[int(length):]

    def until(self, name):
        while not any(packet.startswith(f'42["{name}"') for packet in self.packets):
            self.poll()
        return self.packets


def test_a_script_of_another_page_gets_nothing_by_a_cookie(hub):
    """Browsers fetch scripts for any page, with the user's cookies and without an Origin."""
    user = hub.user()
    page = Script(hub, Cookie=f"token={user.token}")
    assert "auth_error" in str(page.until("auth_error"))
    assert not any("authenticated" in packet for packet in page.packets)


def test_a_script_with_a_token_of_its_own_is_served(hub):
    user = hub.user()
    account = user.telegram()
    page = Script(hub, f"&token={user.token}")
    page.until("authenticated")
    account.say(1, "by script")
    assert any("by script" in packet for packet in page.until("unread_count_update"))


def test_a_cookie_still_counts_elsewhere(hub):
    user = hub.user()
    session = requests.Session()
    session.trust_env = False
    session.headers["Cookie"] = f"token={user.token}"
    sid = json.loads(session.get(hub.url + POLLING, timeout=5).text[1:])["sid"]
    session.post(f"{hub.url}{POLLING}&sid={sid}", data="40", timeout=5)
    seen = []
    wait_until(lambda: seen.append(session.get(f"{hub.url}{POLLING}&sid={sid}", timeout=15).text)
               or any("authenticated" in text for text in seen))


def test_the_session_cookie_is_given_where_it_is_wanted(own_hub):
    for environment, expected in (
        ({}, None),
        ({"SESSION_COOKIE": "node"}, "node={sid}; Path=/; HttpOnly; SameSite=Lax"),
        ({"SESSION_COOKIE": "node", "PUBLIC_URL": "https://hub.example"},
         "node={sid}; Path=/; HttpOnly; SameSite=None; Secure"),
    ):
        hub = own_hub(**environment)
        answer = requests.get(hub.url + POLLING, timeout=5)
        sid = json.loads(answer.text[1:])["sid"]
        assert answer.headers.get("Set-Cookie") == (expected and expected.format(sid=sid))
        hub.close()


def test_an_encoded_slash_is_no_slash(hub):
    for path in ("/socket.io%2f", "/api%2Funread", "/socket.io%2f..%2fsocket.io/"):
        assert exchange(hub, "GET", f"{path}?EIO=4&transport=polling")[0] == 404, path


def test_the_server_as_a_whole_has_options(hub):
    assert exchange(hub, "OPTIONS", "*")[0] == 204
