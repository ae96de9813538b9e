"""The database goes away and comes back under load; the hub stays."""

import asyncio
import time

import psycopg
import pytest

from hub import Hub, assert_problem, wait_until
from load import Load, assert_all_there_once, assert_log_is_whole
from postgres import Cluster
from screen import open_screen


@pytest.fixture
def cluster():
    with Cluster() as made:
        yield made


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_five_seconds_without_postgres_under_load(own_hub, cluster, mode):
    hub = own_hub("outage", DATABASE_URL=cluster.url)
    user = hub.user()
    account = user.telegram()

    async def run():
        load = Load([account])
        await load.start()
        await load.until_acknowledged(200)
        screen = await open_screen(hub, user.token)

        await asyncio.to_thread(cluster.stop, mode)
        await asyncio.sleep(0.5)
        stopped = time.monotonic()
        acknowledged = len(load.acknowledged)
        health = await asyncio.to_thread(hub.health)
        alive = await asyncio.to_thread(hub.request, "GET", "/livez")
        ready = await asyncio.to_thread(hub.request, "GET", "/readyz")
        api = await asyncio.to_thread(user.request, "GET", "/api/unread")
        await asyncio.sleep(5)
        assert len(load.acknowledged) == acknowledged, "a webhook was acknowledged without a database"
        refused = [answer for answer in load.answers if answer[0] > stopped]
        assert screen.closed_at is None, "an outage of the database is no reason to drop screens"

        await asyncio.to_thread(cluster.start)
        await load.until_acknowledged(acknowledged + 200, 20)
        await load.stop()
        last = (await asyncio.to_thread(user.events))[-1]["seq"]
        await screen.until(lambda: screen.logged()[-1].seq >= last, 10)
        await screen.close()
        return load, screen, refused, health, alive, ready, api

    load, screen, refused, health, alive, ready, api = asyncio.run(run())
    assert refused, "webhooks must be answered, not left hanging"
    for _, status, headers in refused:
        assert status == 503
        assert int(headers["Retry-After"]) >= 1
    assert health.status_code == 503
    assert health.json()["services"]["database"] != "connected"
    assert health.json()["status"] != "ok"
    assert alive.status_code == 200
    assert ready.status_code == 503
    assert_problem(api, 503)

    assert_all_there_once(user, [account], load.acknowledged)
    assert_log_is_whole(user)
    seqs = [event.seq for event in screen.logged()]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert hub.health().status_code == 200
    hub.command("verify", "unread")


def test_starts_before_its_database(cluster):
    cluster.stop()
    hub = Hub("early", DATABASE_URL=cluster.url)
    try:
        hub.start(wait=False)
        time.sleep(2)
        if hub.process.poll() is not None:
            # Leaving at once is allowed too, when the message says what is wrong.
            assert hub.process.returncode != 0
            assert "database" in hub.log_text().lower()
            hub.process = None
            return
        cluster.start()
        hub.wait_ready(30)
    finally:
        hub.close()


def test_migrations_are_applied_once_by_two_hubs(own_hub, cluster):
    first = own_hub("one", DATABASE_URL=cluster.url)
    second = own_hub("two", DATABASE_URL=cluster.url, JWT_SECRET=first.jwt_secret)
    assert first.health().status_code == second.health().status_code == 200
    first.command("migrate")


def test_two_nodes_share_one_database(own_hub, cluster):
    """A webhook that one node takes reaches a screen on the other."""
    keys = {"ENCRYPTION_KEY": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}
    first = own_hub("one", DATABASE_URL=cluster.url, **keys)
    second = own_hub("two", DATABASE_URL=cluster.url, JWT_SECRET=first.jwt_secret, **keys)
    user = first.user()
    account = user.telegram()

    async def run():
        screen = await open_screen(second, user.token)
        for number in range(1, 31):
            await asyncio.to_thread(account.say, number)
        await screen.until(lambda: len(screen.named("new_message")) == 30, 10)
        await screen.until(lambda: screen.logged()[-1].seq == user.events()[-1]["seq"])
        await screen.close()
        return [event.seq for event in screen.logged()]

    seqs = asyncio.run(run())
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_connections_cut_at_random_lose_nothing(own_hub, cluster):
    hub = own_hub("cut", DATABASE_URL=cluster.url)
    user = hub.user()
    account = user.telegram()

    async def run():
        load = Load([account], connections=8)
        await load.start()
        for _ in range(5):
            await load.until_acknowledged(len(load.acknowledged) + 60)
            await asyncio.to_thread(cut)
        await load.until_acknowledged(len(load.acknowledged) + 100)
        await load.stop()
        return load

    def cut():
        with psycopg.connect(cluster.url, autocommit=True) as database:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    load = asyncio.run(run())
    assert {status for _, status, _ in load.answers} <= {503}
    assert_all_there_once(user, [account], load.acknowledged)
    assert_log_is_whole(user)
    wait_until(lambda: hub.health().status_code == 200, 10, "/health")
    hub.command("verify", "unread")
