"""Input that is valid and meant to hurt: very large, very many, out of range, or twice at once."""

import asyncio
import base64
import json
import time

import pytest
import requests

from hub import Background, assert_problem, unique, wait_until
from screen import POLLING, WEBSOCKET, Screen, open_screen

TRANSPORTS = pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"])


@TRANSPORTS
def test_an_event_larger_than_the_queue_bound_is_delivered(hub, transports):
    """Each control character takes six bytes in JSON: the event is larger than what may wait for a client."""
    user = hub.user()
    account = user.custom()

    async def run():
        live = await open_screen(hub, user.token, transports=transports)
        await asyncio.to_thread(account.say, "huge", "\u0001" * 250_000)
        await live.until(lambda: live.named("unread_count_update"))
        again = await open_screen(hub, user.token, last_seq=0, transports=transports)
        await again.until(lambda: again.named("unread_count_update"))
        await live.quiet()
        assert live.closed_at is None and again.closed_at is None
        assert len(live.named("new_message")) == len(again.named("new_message")) == 1
        await live.close()
        await again.close()

    asyncio.run(run())


@TRANSPORTS
def test_a_resume_of_more_than_the_queue_bound_comes_to_its_end(hub, transports):
    user = hub.user()
    account = user.custom()
    for start in range(0, 400, 100):
        account.deliver({"batch": [account.message(f"m{start + n}", "x" * 8_000) for n in range(100)]})
    logged = [event["seq"] for event in user.events()]

    async def run():
        screen = await open_screen(hub, user.token, last_seq=0, transports=transports)
        await screen.until(lambda: screen.logged() and screen.logged()[-1].seq == logged[-1], 20)
        assert [event.seq for event in screen.logged()] == logged
        assert screen.closed_at is None
        await screen.close()

    asyncio.run(run())


def test_a_token_in_the_handshake_and_in_authenticate_is_no_fault(hub):
    user = hub.user()

    async def run():
        for _ in range(20):
            screen = Screen(hub)
            await screen.connect(auth={"token": user.token})
            await screen.client.emit("authenticate", {"token": user.token})
            await screen.until(lambda: screen.named("authenticated") or screen.named("auth_error"))
            assert not screen.named("auth_error"), screen.events
            await screen.close()

    asyncio.run(run())


def test_a_delivery_of_very_many_changes_is_kept_and_holds_up_nobody(hub):
    user = hub.user(roles=["admin"], tenant=unique("tenant"))
    account = user.custom()
    deletions = [
        {
            "type": "message.deleted",
            "conversation": {"id": "c"},
            "messageIds": [str(batch * 1_000 + number) for number in range(1_000)],
        }
        for batch in range(200)
    ]
    start = time.monotonic()
    account.deliver({"batch": deletions})
    assert time.monotonic() - start < 5
    dead = user.get("/api/deliveries", state="dead")["items"]
    assert [entry["state"] for entry in dead] == ["dead"] and "changes" in dead[0]["reason"]
    account.deliver({"batch": deletions[:5]})
    assert len(user.get("/api/deliveries", state="dead")["items"]) == 1


def test_an_impossible_picture_size_loses_only_the_size(hub, user):
    account = user.custom()
    attachment = {"kind": "image", "url": "https://example.com/a.png", "width": 2**40, "height": 20}
    account.say("picture", attachments=[attachment])
    [conversation] = user.conversations()
    [message] = user.messages(conversation["id"])
    [shown] = message["attachments"]
    assert shown.get("width") is None and shown["height"] == 20


@pytest.mark.parametrize("time_value", [-(2**63), -(10**18), 10**18, 2**63 - 1])
@pytest.mark.parametrize("kind, path", [("c", "/api/conversations"), ("d", "/api/deliveries")])
def test_a_cursor_beyond_all_times_is_refused(hub, kind, path, time_value):
    text = json.dumps({"k": kind, "t": time_value, "i": "01890a5d-ac96-774b-bcce-b302099a8057"})
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    answer = hub.user(roles=["admin"]).request("GET", path, params={"cursor": cursor})
    assert assert_problem(answer, 400)["code"] == "invalid_cursor"


def test_a_token_with_null_characters_is_refused(hub):
    assert_problem(hub.user(email="a\u0000b").request("GET", "/api/unread"), 401)
    assert_problem(hub.user(roles=["a\u0000"]).request("GET", "/api/unread"), 401)


def test_nobody_keeps_the_loop_busy_with_one_message(hub):
    opened = requests.get(f"{hub.url}/socket.io/?EIO=4&transport=polling", timeout=5).text
    session = json.loads(opened[1:])
    url = f"{hub.url}/socket.io/?EIO=4&transport=polling&sid={session['sid']}"
    assert requests.post(url, data="40", timeout=5).status_code == 200
    assert session["maxPayload"] <= 100_000
    body = '42["x",[' + ",".join(["0.5"] * 247_000) + "]]"
    start = time.monotonic()
    assert requests.post(url, data=body, timeout=15).status_code == 413
    assert time.monotonic() - start < 0.5


def test_a_suspended_tenant_loses_access(hub):
    tenant = unique("tenant")
    user = hub.user(tenant=tenant)
    user.get("/api/unread")
    with hub.database() as database:
        database.execute("UPDATE tenants SET state = 'suspended' WHERE id = %s", (tenant,))
    wait_until(lambda: user.request("GET", "/api/unread").status_code != 200, 15, "the refusal", every=1)
    assert assert_problem(user.request("GET", "/api/unread"), 403)["code"] == "tenant_suspended"


def test_a_node_that_has_just_joined_misses_nothing_for_long(own_hub):
    """Until the first node has seen the second, it does not tell it what it commits."""
    first = own_hub("first")
    user = first.user()
    account = user.custom()
    second = own_hub("second", DATABASE_URL=first.command("database-url").stdout.strip(), JWT_SECRET=first.jwt_secret)

    async def run():
        screen = await open_screen(second, user.token)
        for number in range(3):
            await asyncio.to_thread(account.say, f"m{number}", f"text {number}")
            await screen.until(lambda number=number: f"text {number}" in screen.texts(), 5)
        numbers = [event.seq for event in screen.logged()]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        await screen.close()

    asyncio.run(run())


def test_a_huge_body_does_not_hold_up_the_loop(hub, user):
    account = user.custom()
    body = b'{"type":"x","a":[' + b",".join([b"0.5"] * 1_000_000) + b"]}"
    sending = Background(lambda _: account.deliver(body, timeout=60))
    slowest = 0
    for _ in range(60):
        start = time.monotonic()
        # A new connection each, so that all loops are asked.
        assert requests.get(f"{hub.url}/livez", timeout=30).status_code == 200
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.02)
    sending.join()
    assert slowest < 1
