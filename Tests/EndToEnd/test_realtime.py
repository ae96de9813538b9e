"""The realtime contract with stock Socket.IO clients: who gets in, what they are told, and what not."""

import asyncio
import base64
import json
import time

import aiohttp
import jwt
import pytest
import socketio

from hub import Background, unique, wait_until
from screen import POLLING, UPGRADE, WEBSOCKET, RawSocket, Screen, ThreadedScreen, body, open_screen

TRANSPORTS = pytest.mark.parametrize("transports", [WEBSOCKET, POLLING, UPGRADE], ids=["websocket", "polling", "upgrade"])


def in_thread(call, *arguments, **options):
    """A blocking REST call from inside a test that also listens."""
    return asyncio.to_thread(call, *arguments, **options)


async def expect_refused(hub, token=None, auth=None, headers=None, query="", within=5):
    screen = Screen(hub)
    try:
        await screen.connect(auth=auth, headers=headers, query=query)
        if token is not None:
            await screen.client.emit("authenticate", {"token": token})
        await screen.until_closed(within)
    except socketio.exceptions.ConnectionError:
        # Closed before the client finished its own greeting: the error must have been sent even so.
        pass
    errors = screen.named("auth_error")
    assert len(errors) == 1, screen.events
    assert errors[0].data["message"]
    assert not screen.named("authenticated")
    return errors[0].data


# Getting in.


@TRANSPORTS
def test_authenticates_and_receives(hub, transports):
    user = hub.user(email="ana@example.com")
    account = user.telegram()

    async def run():
        async with Screen(hub, transports) as screen:
            await screen.connect()
            granted = await screen.authenticate(user.token)
            assert granted["userId"] == user.id
            assert isinstance(granted["seq"], int)
            assert granted["resumed"] is False
            if transports == UPGRADE:
                await screen.until(lambda: screen.client.transport() == "websocket")
            await in_thread(account.say, 1, "Grüße 👋")
            await screen.until(lambda: screen.named("new_message") and screen.named("unread_count_update"))
            await screen.quiet(0.2)
            return screen

    screen = asyncio.run(run())
    (pushed,) = screen.named("new_message")
    assert set(pushed.data) >= {"message", "conversation", "seq", "timestamp"}
    message, conversation = pushed.data["message"], pushed.data["conversation"]
    assert message["text"] == "Grüße 👋"
    assert message["direction"] == "inbound"
    assert message["conversationId"] == conversation["id"]
    assert conversation["unreadCount"] == 1
    (unread,) = screen.named("unread_count_update")
    assert unread.data["unreadCounts"] == {"telegram": 1}
    assert unread.data["totalUnread"] == 1
    assert pushed.seq < unread.seq
    assert user.messages(conversation["id"]) == [message]


@TRANSPORTS
def test_authenticates_the_threaded_client(hub, transports):
    user = hub.user()
    account = user.telegram()
    screen = ThreadedScreen(hub, transports)
    try:
        screen.connect()
        assert screen.authenticate(user.token)["userId"] == user.id
        account.say(1, "one")
        screen.until(lambda: screen.named("new_message") and screen.named("unread_count_update"))
        assert screen.texts() == ["one"]
    finally:
        screen.close()


def handshake_places(token):
    return {
        "auth": {"auth": {"token": token}},
        "header": {"headers": {"Authorization": f"Bearer {token}"}},
        "query": {"query": f"?token={token}"},
    }


@TRANSPORTS
@pytest.mark.parametrize("place", ["auth", "header", "query"])
def test_takes_the_token_from_the_handshake(hub, place, transports):
    user = hub.user()

    async def run():
        async with Screen(hub, transports) as screen:
            await screen.connect(**handshake_places(user.token)[place])
            await screen.until(lambda: screen.named("authenticated"))
            assert screen.named("authenticated")[0].data["userId"] == user.id

    asyncio.run(run())


@pytest.mark.parametrize("place", ["auth", "header", "query"])
def test_refuses_a_bad_token_of_the_handshake(hub, place):
    asyncio.run(expect_refused(hub, **handshake_places("not.a.token")[place]))


@TRANSPORTS
def test_refuses_a_bad_token_and_closes(hub, transports):
    async def run():
        screen = Screen(hub, transports)
        await screen.connect()
        await screen.client.emit("authenticate", {"token": "not.a.token"})
        await screen.until_closed(5)
        (error,) = screen.named("auth_error")
        assert error.data["message"]

    asyncio.run(run())


def forged_tokens(hub):
    now = int(time.time())
    claims = {"sub": "mallory", "iat": now, "exp": now + 600}
    none = jwt.encode(claims, "", algorithm="none")
    signed = hub.token("mallory")
    head, payload, signature = signed.split(".")
    return {
        "expired": hub.token("mallory", expires=-3600),
        "without exp": jwt.encode({"sub": "mallory"}, hub.jwt_secret, algorithm="HS256"),
        "not yet valid": hub.token("mallory", nbf=now + 3600),
        "other secret": jwt.encode(claims, "x" * 64, algorithm="HS256"),
        "alg none": none,
        "signature cut": f"{head}.{payload}.",
        "signature changed": f"{head}.{payload}.{signature[::-1]}",
        "no subject": jwt.encode({"exp": now + 600}, hub.jwt_secret, algorithm="HS256"),
        "claims changed": f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}",
        "empty": "",
        "too long": "a" * 20_000,
    }


@pytest.mark.parametrize("name", [
    "expired", "without exp", "not yet valid", "other secret", "alg none", "signature cut",
    "signature changed", "claims changed", "no subject", "empty", "too long",
])
def test_refuses_forged_tokens(hub, name):
    forged = forged_tokens(hub)[name]
    asyncio.run(expect_refused(hub, token=forged))
    response = hub.request("GET", "/api/unread", token=forged or "x")
    # A header line over the limit is refused before anybody looks at the token.
    assert response.status_code in ((400, 401, 431) if name == "too long" else (401,))


@pytest.mark.parametrize("message", [{}, {"token": 5}, {"token": None}, None, "text", [], {"tokens": "x"}])
def test_refuses_a_malformed_authenticate(hub, message):
    async def run():
        screen = Screen(hub)
        await screen.connect()
        await screen.client.emit("authenticate", message)
        await screen.until_closed(5)
        assert len(screen.named("auth_error")) == 1

    asyncio.run(run())


@TRANSPORTS
def test_closes_silence_after_ten_seconds(hub, transports):
    async def run():
        screen = Screen(hub, transports)
        started = time.monotonic()
        await screen.connect()
        await screen.until_closed(14)
        assert 9.5 <= screen.closed_at - screen.opened_at and screen.closed_at - started <= 11
        (error,) = screen.named("auth_error")
        assert error.data["message"]

    asyncio.run(run())


def test_tells_nothing_before_authentication(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            await in_thread(account.say, 1)
            await screen.quiet(0.5)
            assert screen.events == []
            for name, data in (("mark_read", {"conversationId": unique("c")}), ("typing", {"conversationId": "x"})):
                answer = await screen.call(name, data)
                assert answer["ok"] is False and answer["error"]["code"]

    asyncio.run(run())


# Who gets what.


def test_tells_nobody_of_anothers(hub):
    ana, bob = hub.user(), hub.user()
    namesake = hub.user(ana.id, tenant=unique("tenant"))
    of_ana, of_bob = ana.telegram(), bob.telegram()

    async def run():
        screens = [await open_screen(hub, someone.token) for someone in (ana, bob, namesake)]
        await in_thread(of_ana.say, 1, "for ana")
        await in_thread(of_bob.say, 1, "for bob")
        await screens[0].until(lambda: screens[0].named("new_message"))
        await screens[1].until(lambda: screens[1].named("new_message"))
        await screens[0].quiet()
        try:
            assert screens[0].texts() == ["for ana"]
            assert screens[1].texts() == ["for bob"]
            assert screens[2].logged() == []
        finally:
            for screen in screens:
                await screen.close()

    asyncio.run(run())


def test_cannot_join_a_room_that_is_not_its_own(hub):
    ana, bob = hub.user(), hub.user()
    account = ana.telegram()

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            await screen.authenticate(bob.token)
            for name in ("join", "subscribe", "join_room", "room"):
                await screen.client.emit(name, f"user:{ana.id}")
                await screen.client.emit(name, {"room": f"user:{ana.id}", "userId": ana.id})
            await in_thread(account.say, 1)
            await screen.quiet()
            assert screen.logged() == []

    asyncio.run(run())


def test_tells_every_device_of_a_user_the_same(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        screens = [
            await open_screen(hub, user.token, transports=transports)
            for transports in (WEBSOCKET, POLLING, UPGRADE, WEBSOCKET)
        ]
        for number in range(1, 21):
            await in_thread(account.say, number)
        try:
            last = (await in_thread(user.events))[-1]["seq"]
            for screen in screens:
                await screen.until(lambda: len(screen.named("new_message")) == 20)
                await screen.until(lambda: screen.logged()[-1].seq == last)
            first = [(event.name, event.data) for event in screens[0].logged()]
            for screen in screens[1:]:
                assert [(event.name, event.data) for event in screen.logged()] == first
        finally:
            for screen in screens:
                await screen.close()
        return first

    pushed = asyncio.run(run())
    assert [data["seq"] for _, data in pushed] == list(range(pushed[0][1]["seq"], pushed[-1][1]["seq"] + 1))
    log = {item["seq"]: item for item in user.events()}
    for name, data in pushed:
        item = log[data["seq"]]
        assert (item["type"], item["data"], item["timestamp"]) == (name, body(data), data["timestamp"])


# Coming back.


@TRANSPORTS
def test_resumes_after_its_last_number_exactly(hub, transports):
    user = hub.user()
    account = user.telegram()

    async def run():
        staying = await open_screen(hub, user.token)
        leaving = await open_screen(hub, user.token, transports=transports)
        for number in range(1, 4):
            await in_thread(account.say, number)
        await leaving.until(lambda: len(leaving.named("new_message")) == 3)
        await leaving.until(lambda: leaving.named("unread_count_update"))
        await leaving.quiet(0.3)
        last = leaving.logged()[-1].seq
        await leaving.close()
        for number in range(4, 14):
            await in_thread(account.say, number)

        back = Screen(hub, transports)
        await back.connect()
        granted = await back.authenticate(user.token, last)
        assert granted["resumed"] is True
        for number in range(14, 17):
            await in_thread(account.say, number)
        await staying.until(lambda: len(staying.named("new_message")) == 16)
        await back.until(lambda: len(back.named("new_message")) == 13)
        await back.until(lambda: back.logged()[-1].seq == staying.logged()[-1].seq)
        names = [event.name for event in back.events]
        assert names[0] == "authenticated"
        assert [e.seq for e in back.logged()] == list(range(last + 1, staying.logged()[-1].seq + 1))
        assert [(e.name, e.data) for e in back.logged()] == [
            (e.name, e.data) for e in staying.logged() if e.seq > last
        ]
        await back.close()
        await staying.close()

    asyncio.run(run())


def test_resumes_while_messages_pour_in(hub):
    user = hub.user()
    account = user.telegram()
    account.say(1)
    start = user.events()[-1]["seq"]

    def pour(stopping):
        number = 2
        while not stopping.is_set():
            account.say(number)
            number += 1

    async def run():
        pouring = Background(pour)
        seen = []
        last = start
        for _ in range(8):
            screen = Screen(hub)
            await screen.connect()
            await screen.authenticate(user.token, last)
            await screen.until(lambda: len(screen.logged()) >= 10)
            await screen.close()
            seen += screen.logged()
            last = seen[-1].seq
        await in_thread(pouring.join)
        return seen

    seen = asyncio.run(run())
    assert [event.seq for event in seen] == list(range(start + 1, start + 1 + len(seen)))
    log = {item["seq"]: item for item in user.events()}
    assert all(log[event.seq]["data"] == body(event.data) for event in seen)


def test_resume_with_nothing_missed_tells_nothing(hub):
    user = hub.user()
    user.telegram().say(1)
    last = user.events()[-1]["seq"]

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            granted = await screen.authenticate(user.token, last)
            assert granted == granted | {"resumed": True, "seq": last}
            await screen.quiet()
            assert screen.logged() == []

    asyncio.run(run())


@pytest.mark.parametrize("last_seq", [10**9, -5])
def test_a_number_that_never_was_means_resync(hub, last_seq):
    user = hub.user()
    user.telegram().say(1)

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            granted = await screen.authenticate(user.token, last_seq)
            assert granted["resumed"] is False
            if last_seq > 0:
                await screen.until(lambda: screen.named("resync_required"))
                assert screen.named("resync_required")[0].data["seq"] == user.events()[-1]["seq"]

    asyncio.run(run())


def test_away_too_long_means_resync(hub):
    user = hub.user()
    account = user.telegram()
    for number in range(1, 6):
        account.say(number)
    last = user.events()[-1]["seq"]
    with hub.database() as database:
        # As if retention had dropped the oldest events.
        database.execute("UPDATE users SET event_floor = %s WHERE id = %s", (last - 2, user.id))

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            granted = await screen.authenticate(user.token, 1)
            assert granted["resumed"] is False
            await screen.until(lambda: screen.named("resync_required"))
            assert screen.named("resync_required")[0].data["seq"] == last
            await in_thread(account.say, 6)
            await screen.until(lambda: screen.named("new_message"))
            assert screen.texts() == ["message 6"]

    asyncio.run(run())


# Tokens that change and end.


def test_an_expired_token_ends_the_session(hub):
    user = hub.user()
    short = hub.token(user.id, expires=3)

    async def run():
        screen = Screen(hub)
        await screen.connect()
        await screen.authenticate(short)
        await screen.until_closed(75)  # A leeway for clocks may stand between expiry and end.
        assert len(screen.named("auth_error")) == 1

    asyncio.run(run())


def test_authenticates_again_in_place(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            await screen.authenticate(hub.token(user.id, expires=2))
            await screen.authenticate(user.token)
            await screen.quiet(4)
            assert screen.closed_at is None
            await in_thread(account.say, 1)
            await screen.until(lambda: screen.named("new_message"))
            await screen.quiet(0.3)
            assert len(screen.named("new_message")) == 1

    asyncio.run(run())


def test_authenticating_as_another_changes_the_room_or_ends(hub):
    ana, bob = hub.user(), hub.user()
    of_ana = ana.telegram()

    async def run():
        screen = Screen(hub)
        await screen.connect()
        await screen.authenticate(ana.token)
        await screen.client.emit("authenticate", {"token": bob.token})
        await screen.until(lambda: len(screen.named("authenticated")) == 2 or screen.named("auth_error"))
        await in_thread(of_ana.say, 1, "for ana")
        await screen.quiet()
        assert screen.texts() == []
        if screen.client.connected:
            await screen.close()

    asyncio.run(run())


# What clients do.


def test_reads_and_unreads_by_events(hub):
    user = hub.user()
    account = user.telegram()
    for number in range(1, 6):
        account.say(number)
    (conversation,) = user.conversations()
    messages = sorted(user.messages(conversation["id"]), key=lambda message: message["sentAt"])

    async def run():
        acting = await open_screen(hub, user.token)
        watching = await open_screen(hub, user.token)
        answer = await acting.call("mark_read", {"conversationId": conversation["id"], "upTo": messages[2]["id"]})
        assert answer["ok"] is True
        for screen in (acting, watching):
            await screen.until(lambda: screen.named("unread_count_update"))
            assert screen.named("unread_count_update")[-1].data["totalUnread"] == 2
        answer = await acting.call("mark_unread", {"conversationId": conversation["id"], "from": messages[1]["id"]})
        assert answer["ok"] is True
        await watching.until(lambda: watching.named("unread_count_update")[-1].data["totalUnread"] == 4)
        answer = await acting.call("mark_read", {"conversationId": conversation["id"]})
        assert answer["ok"] is True
        await watching.until(lambda: watching.named("unread_count_update")[-1].data["totalUnread"] == 0)
        await acting.close()
        await watching.close()

    asyncio.run(run())
    assert user.unread()["totalUnread"] == 0


@pytest.mark.parametrize("name, data", [
    ("mark_read", {}),
    ("mark_read", {"conversationId": 7}),
    ("mark_read", {"conversationId": "not-an-id"}),
    ("mark_read", {"conversationId": "0198c2f0-0000-7000-8000-000000000000"}),
    ("mark_read", None),
    ("mark_unread", {"conversationId": "0198c2f0-0000-7000-8000-000000000000"}),
    ("typing", {"isTyping": True}),
    ("typing", {"conversationId": "0198c2f0-0000-7000-8000-000000000000", "isTyping": True}),
])
def test_refuses_wrong_events_in_the_acknowledgement(hub, name, data):
    user = hub.user()

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            await screen.authenticate(user.token)
            answer = await screen.call(name, data)
            assert answer["ok"] is False
            assert answer["error"]["code"] and answer["error"]["message"]
            assert screen.client.connected

    asyncio.run(run())


def test_cannot_read_anothers_conversation(hub):
    ana, bob = hub.user(), hub.user()
    ana.telegram().say(1)
    (conversation,) = ana.conversations()

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            await screen.authenticate(bob.token)
            answer = await screen.call("mark_read", {"conversationId": conversation["id"]})
            assert answer["ok"] is False

    asyncio.run(run())
    assert ana.unread()["totalUnread"] == 1


def test_typing_reaches_the_other_devices_without_a_number(hub):
    user = hub.user()
    account = user.custom()
    account.say("m1")
    (conversation,) = user.conversations()
    before = user.events()

    async def run():
        typing = await open_screen(hub, user.token)
        watching = await open_screen(hub, user.token)
        answer = await typing.call("typing", {"conversationId": conversation["id"], "isTyping": True})
        assert answer["ok"] is True
        await watching.until(lambda: watching.named("typing"))
        event = watching.named("typing")[0]
        assert event.seq is None
        assert event.data["conversationId"] == conversation["id"] and event.data["isTyping"] is True
        await typing.close()
        await watching.close()

    asyncio.run(run())
    assert user.events() == before


def test_an_unknown_event_does_no_harm(hub):
    user = hub.user()

    async def run():
        async with Screen(hub) as screen:
            await screen.connect()
            await screen.authenticate(user.token)
            await screen.client.emit("no_such_event", {"x": [1, 2, {"y": None}]})
            await screen.quiet(0.3)
            assert screen.client.connected

    asyncio.run(run())


def test_an_unknown_namespace_is_refused(hub):
    async def run():
        client = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(hub.url, namespaces=["/elsewhere"], transports=["websocket"], wait_timeout=3)

    asyncio.run(run())


# The wire, for those who come without a library.


def test_the_handshake_is_engine_io_4(hub):
    response = hub.request("GET", "/socket.io/?EIO=4&transport=polling")
    assert response.status_code == 200
    assert response.text[0] == "0"
    opening = json.loads(response.text[1:])
    assert opening["sid"] and opening["upgrades"] == ["websocket"]
    assert opening["pingInterval"] > 0 and opening["pingTimeout"] > 0 and opening["maxPayload"] > 0


@pytest.mark.parametrize("path, code", [
    ("/socket.io/?EIO=4&transport=carrier-pigeon", 0),
    ("/socket.io/?EIO=4&transport=polling&sid=nobody", 1),
    ("/socket.io/?EIO=1&transport=polling", 5),
])
def test_refuses_bad_handshakes_as_engine_io_does(hub, path, code):
    response = hub.request("GET", path)
    assert response.status_code == 400
    assert response.json()["code"] == code and response.json()["message"]


def test_speaks_json_frames_on_a_plain_websocket(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        async with aiohttp.ClientSession() as session, session.ws_connect(hub.url + "/ws") as connection:
            await connection.send_json({"type": "authenticate", "data": {"token": user.token}})
            granted = await connection.receive_json(timeout=5)
            assert granted["type"] == "authenticated" and granted["data"]["userId"] == user.id
            await in_thread(account.say, 1, "plain")
            frames = []
            while not any(frame["type"] == "unread_count_update" for frame in frames):
                frames.append(await connection.receive_json(timeout=5))
            (pushed,) = [frame for frame in frames if frame["type"] == "new_message"]
            assert pushed["data"]["message"]["text"] == "plain"
            assert pushed["data"]["seq"] and pushed["data"]["timestamp"]

    asyncio.run(run())


def test_a_plain_websocket_with_a_bad_token_is_told_and_closed(hub):
    async def run():
        async with aiohttp.ClientSession() as session, session.ws_connect(hub.url + "/ws") as connection:
            await connection.send_json({"type": "authenticate", "data": {"token": "bad"}})
            refused = await connection.receive_json(timeout=5)
            assert refused["type"] == "auth_error" and refused["data"]["message"]
            closing = await connection.receive(timeout=5)
            assert closing.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    asyncio.run(run())


def test_a_foreign_origin_is_refused(hub):
    async def run():
        async with aiohttp.ClientSession() as session:
            for path in ("/ws", "/socket.io/?EIO=4&transport=websocket"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(hub.url + path, headers={"Origin": "https://evil.example"})
                assert refused.value.status in (400, 403)
            good = await session.ws_connect(hub.url + "/ws", headers={"Origin": "http://localhost:5173"})
            await good.close()

    asyncio.run(run())


def test_health_counts_connections_and_users(hub):
    ana, bob = hub.user(), hub.user()

    def counts():
        websocket = hub.health().json()["services"]["websocket"]
        return websocket["connections"], websocket["authenticatedUsers"]

    before = counts()

    async def run():
        screens = [await open_screen(hub, user.token) for user in (ana, ana, bob)]
        waiting = Screen(hub)
        await waiting.connect()
        during = await in_thread(counts)
        for screen in [*screens, waiting]:
            await screen.close()
        return during

    during = asyncio.run(run())
    # Screens of earlier tests may still be leaving, so the numbers are compared from below.
    assert during[0] - before[0] <= 4 and during[0] >= 4
    assert during[1] >= 2
    wait_until(lambda: counts()[0] <= before[0], 5, "the connections to be counted off")


def test_garbage_ends_one_connection_only(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        staying = await open_screen(hub, user.token)
        async with aiohttp.ClientSession() as session:
            for garbage in ("9", "42", "42[", "42{}", '42["authenticate"', "45-", "4", "", "4" * 70_000, "2probe"):
                raw = await session.ws_connect(f"{hub.url}/socket.io/?EIO=4&transport=websocket")
                await raw.send_str("40")
                await raw.send_str(garbage)
                await raw.close()
        raw_session = aiohttp.ClientSession()
        raw = RawSocket(raw_session, hub)
        await raw.connect(user.token)
        await raw_session.close()
        await in_thread(account.say, 1)
        await staying.until(lambda: staying.named("new_message"))
        await staying.close()

    asyncio.run(run())
