"""What is refused, with which answer, and that nothing of it stays."""

import base64
import gzip
import json
import re
import secrets
import socket
import time
from datetime import datetime, timezone

import pytest
from standardwebhooks.webhooks import Webhook

from hub import assert_problem, unique, wait_until


def counted(hub):
    with hub.database() as database:
        return database.execute("SELECT count(*) FROM deliveries").fetchone()[0]


def post(hub, path, body=b"{}", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return hub.session.post(hub.url + path, data=body, headers={"Content-Type": "application/json"} | headers, timeout=15)


TELEGRAM_SECRET = "X_Telegram_Bot_Api_Secret_Token"


@pytest.fixture
def telegram(user):
    return user.telegram()


@pytest.fixture
def custom(user):
    return user.custom()


# Signatures.


@pytest.mark.parametrize("change", [
    lambda secret: None, lambda secret: "", lambda secret: secret[:-1], lambda secret: secret + "x",
    lambda secret: secret.swapcase(), lambda secret: "a b", lambda secret: "é" * 20,
])
def test_a_bad_telegram_secret_is_401_and_leaves_nothing(hub, user, telegram, change):
    before = counted(hub)
    secret = change(telegram.secret)
    headers = {} if secret is None else {TELEGRAM_SECRET: secret.encode()}
    response = post(hub, telegram.path, json.dumps(telegram.update(1)).encode(), **headers)
    assert_problem(response, 401)
    assert counted(hub) == before
    assert user.conversations() == []


def forged(account, name):
    payload = account.message("m1")
    headers, body = account.signed(payload)
    now = int(time.time())
    if name == "no headers":
        return {"Content-Type": "application/json"}, body
    if name == "changed body":
        return headers, body + b" "
    if name == "other secret":
        return account.signed(payload, secret=base64.b64encode(secrets.token_bytes(32)).decode())
    if name == "too old":
        return account.signed(payload, timestamp=now - 400)
    if name == "too new":
        return account.signed(payload, timestamp=now + 400)
    if name == "other timestamp":
        return headers | {"webhook-timestamp": str(now - 1)}, body
    if name == "other id":
        return headers | {"webhook-id": "msg_other"}, body
    if name == "timestamp is a word":
        return headers | {"webhook-timestamp": "today"}, body
    if name == "unknown version":
        return headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v9,")}, body
    if name == "not base64":
        return headers | {"webhook-signature": "v1,%%%"}, body
    if name == "empty":
        return headers | {"webhook-signature": ""}, body
    raise AssertionError(name)


@pytest.mark.parametrize("name", [
    "no headers", "changed body", "other secret", "too old", "too new", "other timestamp", "other id",
    "timestamp is a word", "unknown version", "not base64", "empty",
])
def test_a_bad_standard_webhook_is_401_and_leaves_nothing(hub, user, custom, name):
    before = counted(hub)
    headers, body = forged(custom, name)
    response = hub.session.post(hub.url + custom.path, data=body, headers=headers)
    assert_problem(response, 401)
    assert counted(hub) == before
    assert user.conversations() == []


def test_takes_what_the_published_library_signs(hub, user, custom):
    body = json.dumps(custom.message("m1", "from the library"))
    now = datetime.now(timezone.utc)
    signature = Webhook(custom.secret).sign("msg_1", now, body)
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": f"v1,AAAA {signature}",
    }
    assert hub.session.post(hub.url + custom.path, data=body.encode(), headers=headers).status_code == 200
    assert user.unread()["totalUnread"] == 1


# Places and methods.


def test_an_unknown_platform_or_account_is_404(hub, telegram):
    for path in (f"/webhooks/pigeon/{telegram.key}", f"/webhooks/telegram/{unique('no')}", "/webhooks/telegram/"):
        assert_problem(post(hub, path, X_Telegram_Bot_Api_Secret_Token=telegram.secret), 404)


def test_the_key_of_another_platform_is_404(hub, telegram):
    assert_problem(post(hub, f"/webhooks/custom/{telegram.key}"), 404)


def test_a_deleted_account_is_404(hub, user, telegram):
    telegram.say(1)
    user.request("DELETE", f"/api/accounts/{telegram.id}", expect=204)
    assert_problem(telegram.deliver(telegram.update(2), expect=None), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_on_a_webhook_is_405(hub, telegram, method):
    response = hub.request(method, telegram.path)
    assert_problem(response, 405)
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize("method, path", [
    ("DELETE", "/api/unread"), ("POST", "/api/conversations"), ("PUT", "/api/accounts"), ("POST", "/health"),
])
def test_another_method_on_the_api_is_405(hub, user, method, path):
    response = user.request(method, path)
    assert_problem(response, 405)
    assert response.headers["Allow"]


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/api/accounts/x/y/z", "/nothing", "/webhooks"])
def test_an_unknown_path_is_404(hub, user, path):
    assert_problem(user.request("GET", path), 404)


# Bodies.


def test_a_body_over_the_limit_is_413(hub, user, telegram):
    before = counted(hub)
    body = json.dumps(telegram.update(1, "x" * (64 << 20))).encode()
    try:
        response = post(hub, telegram.path, body, X_Telegram_Bot_Api_Secret_Token=telegram.secret)
    except OSError:
        response = None  # The hub may close before the whole body is sent; the short form below must answer.
    if response is not None:
        assert_problem(response, 413)
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(
            f"POST {telegram.path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {1 << 30}\r\n\r\n".encode()
        )
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")
    assert counted(hub) == before


def test_a_chunked_body_over_the_limit_is_413(hub, telegram):
    def chunks():
        for _ in range(256):
            yield b"x" * (256 << 10)

    try:
        response = post(hub, telegram.path, chunks(), X_Telegram_Bot_Api_Secret_Token=telegram.secret)
    except OSError:
        return
    assert_problem(response, 413)


BROKEN = [
    b"", b"{", b"nonsense", b"[]", b"5", b"null", b'"text"', b"\xff\xfe{}", b'{"update_id":1,"message":7}',
    b'{"update_id":1,"message":{"message_id":"one"}}', b"[" * 100_000, b'{"update_id":' + b"9" * 400 + b"}",
    b'{"update_id":1,"message":{"message_id":1,"date":1e400}}', b'{"a":1,"a":2',
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_body_with_a_good_signature_is_200_and_dead(hub, user, telegram, body):
    telegram.deliver(body, expect=200)
    listed = hub.command("deliveries", "list").stdout
    with hub.database() as database:
        rows = database.execute(
            "SELECT id, state, reason, body FROM deliveries WHERE account_id = %s", (telegram.id,)
        ).fetchall()
    ((identifier, state, reason, kept),) = rows
    assert str(identifier) in listed
    assert state == "dead"
    assert reason
    assert bytes(kept) == body
    assert user.conversations() == []


def test_a_dead_delivery_is_shown_and_replayed(hub, user, custom):
    broken = b'{"type":"message","conversation":{"id":"c1"},"message":'
    custom.deliver(broken, expect=200)
    with hub.database() as database:
        ((identifier,),) = database.execute("SELECT id FROM deliveries WHERE account_id = %s", (custom.id,)).fetchall()
        shown = hub.command("deliveries", "show", str(identifier)).stdout
        assert str(identifier) in shown and "dead" in shown
        assert custom.secret not in shown

        # What is broken stays dead, with its reason, and does no harm.
        again = hub.command("deliveries", "replay", str(identifier), check=False)
        assert again.returncode in (0, 1)
        assert user.conversations() == []

        # As if the reader had learned to read it: the raw body is what replay reads again.
        good = json.dumps(custom.message("m1", "at last")).encode()
        database.execute("UPDATE deliveries SET body = %s WHERE id = %s", (good, identifier))
        hub.command("deliveries", "replay", str(identifier))
        (conversation,) = user.conversations()
        assert [message["text"] for message in user.messages(conversation["id"])] == ["at last"]
        assert user.unread()["totalUnread"] == 1
        ((state,),) = database.execute("SELECT state FROM deliveries WHERE id = %s", (identifier,)).fetchall()
        assert state == "done"

        hub.command("deliveries", "replay", str(identifier))
        assert user.unread()["totalUnread"] == 1
    hub.command("verify", "unread")


def test_dead_deliveries_do_not_touch_their_neighbours(hub, user, telegram):
    telegram.say(1)
    telegram.deliver(b"{", expect=200)
    telegram.say(2)
    assert user.unread()["totalUnread"] == 2


def test_the_ledger_keeps_no_secret(hub, user, telegram, custom):
    telegram.say(1)
    custom.say("m1")
    with hub.database() as database:
        rows = database.execute(
            "SELECT headers::text FROM deliveries WHERE account_id = ANY(%s::uuid[])", ([telegram.id, custom.id],)
        ).fetchall()
        dump = database.execute("SELECT accounts::text FROM accounts WHERE id = %s", (telegram.id,)).fetchone()[0]
    assert len(rows) == 2
    for (headers,) in rows:
        assert telegram.secret not in headers and custom.secret not in headers
    assert telegram.secret not in dump
    assert telegram.secret.encode().hex() not in dump


def test_a_compressed_body_is_read_or_refused_but_never_lost(hub, user, telegram):
    body = gzip.compress(json.dumps(telegram.update(1)).encode())
    response = post(
        hub, telegram.path, body, Content_Encoding="gzip", X_Telegram_Bot_Api_Secret_Token=telegram.secret
    )
    if response.status_code == 415:
        assert_problem(response, 415)
    else:
        assert response.status_code == 200
        wait_until(lambda: hub.command("deliveries", "list").stdout, 5)


# API errors.


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer x.y.z", "Basic dXNlcjpwYXNz", "bearer"])
def test_the_api_without_a_good_token_is_401(hub, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/api/unread", "/api/accounts", "/api/conversations", "/api/events?after=0"):
        response = hub.request("GET", path, headers=headers)
        assert_problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"{}", b'{"platform":"telegram"}', b'{"platform":"pigeon","name":"x","credentials":{}}',
    b'{"platform":"telegram","name":"","credentials":{"webhookSecret":"abcdefgh"}}',
    b'{"platform":"telegram","name":7,"credentials":{"webhookSecret":"abcdefgh"}}',
    b'{"platform":"telegram","name":"x","credentials":{"webhookSecret":7}}',
    b'{"platform":"telegram","name":"x","credentials":{"webhookSecret":"not allowed!"}}',
    b'{"platform":"telegram","name":"x","credentials":[]}',
    b'{"platform":"telegram","name":"' + b"x" * 10_000 + b'","credentials":{"webhookSecret":"abcdefgh"}}',
])
def test_a_bad_account_is_refused(hub, user, body):
    response = user.request("POST", "/api/accounts", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code)
    assert user.pages("/api/accounts") == []


@pytest.mark.parametrize("path", [
    "/api/conversations?limit=0", "/api/conversations?limit=x", "/api/conversations?limit=-1",
    "/api/conversations?cursor=nonsense", "/api/conversations?state=sleepy", "/api/conversations?unread=perhaps",
    "/api/events?after=x", "/api/events?after=-1",
])
def test_a_bad_query_is_400(hub, user, path):
    assert_problem(user.request("GET", path), 400)


@pytest.mark.parametrize("identifier", ["not-an-id", "0198c2f0-0000-7000-8000-000000000000", "..%2f..", "%00", "1;drop"])
def test_an_unknown_conversation_is_404(hub, user, identifier):
    for method, path in (("GET", ""), ("GET", "/messages"), ("POST", "/read"), ("POST", "/unread")):
        response = user.request(
            method, f"/api/conversations/{identifier}{path}", **({"json": {"from": identifier}} if path == "/unread" else {})
        )
        assert response.status_code in (400, 404)
        assert_problem(response, response.status_code)


def test_a_message_of_another_conversation_is_no_place_to_read_to(hub, user, telegram):
    telegram.say(1, chat=1)
    telegram.say(1, chat=2)
    first, second = user.conversations()
    (message,) = user.messages(second["id"])
    response = user.request("POST", f"/api/conversations/{first['id']}/read", json={"upTo": message["id"]})
    assert response.status_code in (404, 422)
    assert_problem(response, response.status_code)
    assert user.unread()["totalUnread"] == 2


# The HTTP below it.


def raw(hub, data, seconds=5):
    """Sends bytes and reads until the hub closes or falls silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=seconds) as connection:
        connection.sendall(data)
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


SMUGGLED = {
    "length and chunked": b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "length with a plus": b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\nabcd",
    "negative length": b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    "chunked twice": b"POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\nabcd",
    "folded line": b"GET /health HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n 2\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bare cr": b"GET /health HTTP/1.1\r\nHost: h\r\nX-A: a\rb\r\n\r\n",
    "nul in header": b"GET /health HTTP/1.1\r\nHost: h\r\nX-A: a\x00b\r\n\r\n",
    "bad chunk size": b"POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "space in method": b"GE T /health HTTP/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_smuggling_forms_are_400_and_closed(hub, name):
    answer = raw(hub, SMUGGLED[name] + b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")
    assert re.match(rb"HTTP/1.1 (400|501) ", answer), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1, "a second request was answered"


def test_a_header_without_end_is_refused(hub):
    answer = raw(hub, b"GET /health HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 1_000_000 + b"\r\n\r\n")
    assert answer == b"" or re.match(rb"HTTP/1.1 (400|431) ", answer)


def test_pipelined_requests_are_answered_in_order(hub):
    answer = raw(
        hub,
        b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\nGET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]


def test_expect_100_continue(hub, telegram):
    body = json.dumps(telegram.update(1)).encode()
    head = (
        f"POST {telegram.path} HTTP/1.1\r\nHost: h\r\nX-Telegram-Bot-Api-Secret-Token: {telegram.secret}\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_head_and_options(hub):
    head = hub.request("HEAD", "/health")
    assert head.status_code == 200 and head.content == b""
    preflight = hub.request("OPTIONS", "/api/accounts", headers={
        "Origin": "http://localhost:5173",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    })
    assert preflight.status_code in (200, 204)
    assert preflight.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "origin" in preflight.headers["Vary"].lower()
    foreign = hub.request("GET", "/health", headers={"Origin": "https://evil.example"})
    assert foreign.headers.get("Access-Control-Allow-Origin") not in ("*", "https://evil.example")


def test_a_dripping_header_is_closed(hub):
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", hub.port), timeout=60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n")
        try:
            while connection.recv(4096):
                pass
        except (TimeoutError, ConnectionResetError):
            pass
    assert time.monotonic() - started < 45
