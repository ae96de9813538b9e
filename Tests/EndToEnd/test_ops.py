"""What operators see: health, metrics, logs, and an orderly end."""

import asyncio
import json
import re
import socket
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub import wait_until
from load import Load, assert_all_there_once
from screen import POLLING, WEBSOCKET, Screen, open_screen


def test_health_has_its_shape(hub):
    response = hub.health()
    assert response.status_code == 200
    health = response.json()
    assert health["status"] == "ok"
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", health["timestamp"])
    services = health["services"]
    assert services["database"] == "connected"
    assert services["redis"] == "disabled"
    websocket = services["websocket"]
    assert websocket["status"] == "active"
    assert isinstance(websocket["connections"], int) and isinstance(websocket["authenticatedUsers"], int)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_answer(hub, path):
    assert hub.request("GET", path).status_code == 200


def samples(hub):
    response = hub.request("GET", "/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    families = list(text_string_to_metric_families(response.text))
    for family in families:
        assert family.documentation, f"{family.name} has no HELP"
        assert family.type != "unknown", f"{family.name} has no TYPE"
    return families


SUBJECTS = {
    "ingest": r"(ingest|webhook)",
    "commit latency": r"commit.*seconds",
    "group size": r"group",
    "queue depth": r"queue",
    "connections": r"connections",
    "authenticated users": r"authenticated",
    "events": r"event",
    "bytes": r"bytes",
    "slow disconnects": r"(slow|disconnect)",
    "database pool": r"(pool|database|postgres)",
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_metrics_speak_of(hub, subject):
    families = samples(hub)
    assert any(re.search(SUBJECTS[subject], family.name) for family in families), [family.name for family in families]


def test_metrics_count_by_platform_and_outcome(hub, user):
    account = user.telegram()

    def count():
        return sum(
            sample.value
            for family in samples(hub)
            if family.type == "counter"
            for sample in family.samples
            if sample.labels.get("platform") == "telegram" and "outcome" in sample.labels
        )

    before = count()
    account.say(1)
    account.say(1)
    account.deliver(b"{")
    account.secret = "wrong-secret"
    account.deliver(account.update(2), expect=401)
    assert count() - before == 4


def test_metrics_name_no_person(hub, user):
    account = user.telegram()
    account.say(1)
    text = hub.request("GET", "/metrics").text
    assert user.id not in text and account.id not in text and account.key not in text


def test_each_log_line_is_one_json_object(hub, user):
    account = user.telegram()
    account.say(1, "line\nbreak \u2028 and \x1b[31mcolour")
    hub.request("GET", "/api/unread\u0085x", token=user.token)
    lines = [line for line in hub.log_text().splitlines() if line.strip()]
    parsed = []
    for line in lines:
        try:
            parsed.append(json.loads(line))
        except ValueError:
            # What `serve` prints for people (address, token, commands) comes before the log.
            assert not parsed or not line.startswith("{"), line
    assert parsed
    for entry in parsed:
        assert {"ts", "level", "msg"} <= set(entry), entry
        assert re.match(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$", entry["ts"])
    assert any("request_id" in entry or "requestId" in entry for entry in parsed)


def test_no_secret_is_ever_logged(own_hub):
    """Canaries go in through every door; none may come out in the log or in an error."""
    hub = own_hub("canary", HUB_LOG_LEVEL="debug")
    user = hub.user()
    telegram, custom = user.telegram(secret="canary-telegram-secret"), user.custom()
    telegram.say(1)
    telegram.deliver(b"{")
    custom.say("m1")
    stray = "canary-stray-token"
    hub.request("GET", "/api/unread", token=stray)
    hub.request("GET", f"/socket.io/?EIO=4&transport=polling&token={stray}")
    hub.request("GET", "/api/unread", headers={"Cookie": f"token={stray}"})
    telegram.secret = "canary-wrong-secret"
    telegram.deliver(telegram.update(9), expect=401)
    user.request("POST", "/api/accounts", json={"platform": "telegram", "credentials": {"webhookSecret": "canary-refused"}})

    async def run():
        for token in (user.token, stray):
            screen = Screen(hub)
            await screen.connect()
            await screen.client.emit("authenticate", {"token": token})
            await screen.until(lambda: screen.events)
            await screen.close()

    asyncio.run(run())
    hub.command("deliveries", "list")
    hub.stop()
    log = hub.log_text()
    for secret in ("canary-", custom.secret, custom.secret.removeprefix("whsec_"), user.token, hub.jwt_secret):
        assert secret not in log, f"{secret[:12]}… is in the log"


def test_pretty_logs_are_for_people(own_hub):
    hub = own_hub("pretty", HUB_LOG="pretty")
    hub.user().telegram().say(1)
    hub.stop()
    assert not any(line.startswith("{") for line in hub.log_text().splitlines())


def test_development_start_says_how_to_begin(own_hub):
    hub = own_hub("banner")
    text = hub.log_text()
    assert str(hub.port) in text
    assert re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", text), "the development token"
    assert "curl" in text or "simulate" in text


def test_production_without_secrets_does_not_start(own_hub, hub):
    environment = {"HUB_ENV": "production", "JWT_SECRET": "", "ENCRYPTION_KEY": ""}
    result = hub.command("serve", check=False, seconds=30, PORT="0", HUB_DATA=str(hub.folder / "production"), **environment)
    assert result.returncode != 0
    assert "JWT_SECRET" in result.stderr or "ENCRYPTION_KEY" in result.stderr


@pytest.mark.parametrize("name, value", [("PORT", "seventy"), ("PORT", "70000"), ("JWT_SECRET", "short"), ("DATABASE_URL", "mysql://x")])
def test_a_bad_setting_is_named(hub, name, value):
    environment = {"HUB_ENV": "production", "ENCRYPTION_KEY": "00" * 32, "HUB_DATA": str(hub.folder / "bad")} | {name: value}
    result = hub.command("serve", check=False, seconds=30, **environment)
    assert result.returncode != 0
    assert name in result.stderr


# The end.


def test_sigterm_commits_what_was_accepted_and_leaves(own_hub):
    hub = own_hub("drain")
    user = hub.user()
    account = user.telegram()

    async def run():
        load = Load([account], connections=16, pace=0)
        await load.start()
        screens = [await open_screen(hub, user.token, transports=transports) for transports in (WEBSOCKET, POLLING)]
        idle = socket.create_connection(("127.0.0.1", hub.port))
        await load.until_acknowledged(300)
        started = time.monotonic()
        code = await asyncio.to_thread(hub.stop, 12)
        took = time.monotonic() - started
        idle.close()
        for screen in screens:
            await screen.until_closed(5)
        answers = [status for _, status, _ in load.answers]
        acknowledged = list(load.acknowledged)
        await asyncio.to_thread(hub.start)
        stored = await asyncio.to_thread(user.events)
        await load.stop()
        return code, took, answers, acknowledged, stored, load

    code, took, answers, acknowledged, stored, load = asyncio.run(run())
    assert code == 0
    assert took < 10
    assert set(answers) <= {503}
    texts = {item["data"]["message"]["text"] for item in stored if item["type"] == "new_message"}
    assert {text for _, _, text in acknowledged} <= texts
    assert_all_there_once(user, [account], load.acknowledged)
    hub.command("verify", "unread")


def test_sigterm_finishes_a_request_in_flight(own_hub):
    hub = own_hub("flight")
    user = hub.user()
    account = user.telegram()
    headers, body = account.signed(account.update(1))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection = socket.create_connection(("127.0.0.1", hub.port), timeout=12)
    connection.sendall(
        f"POST {account.path} HTTP/1.1\r\nHost: h\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body[:20]
    )
    time.sleep(0.3)
    stopping = threading.Thread(target=hub.stop)
    stopping.start()
    time.sleep(0.5)
    connection.sendall(body[20:])
    answer = connection.recv(4096)
    connection.close()
    stopping.join()
    hub.start()
    if answer.startswith(b"HTTP/1.1 200"):
        assert user.unread()["totalUnread"] == 1
    else:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503")
        assert user.unread()["totalUnread"] == 0


def test_sigterm_frees_the_port_and_leaves_nothing_behind(own_hub):
    hub = own_hub("behind")
    assert hub.stop() == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", hub.port))
    wait_until(lambda: not list(hub.data.rglob("postmaster.pid")), 5, "the end of its PostgreSQL")
