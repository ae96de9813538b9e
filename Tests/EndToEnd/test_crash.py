"""kill -9 under load: what got its 2xx is there once, and screens catch up exactly."""

import asyncio
import os
import random
import signal

import pytest

from load import Load, assert_all_there_once, assert_log_is_whole
from screen import Screen, body


class ReturningScreen:
    """A frontend that reconnects with its last number after every break, and keeps one list of events."""

    def __init__(self, hub, token):
        self.hub = hub
        self.token = token
        self.events = []
        self.screen = None

    @property
    def last(self):
        return self.events[-1].seq if self.events else 0

    async def connect(self):
        screen = Screen(self.hub)
        await screen.connect()
        granted = await screen.authenticate(self.token, self.last)
        assert granted["resumed"] is True
        self.screen = screen

    async def collect(self):
        """After a break: what the last connection brought."""
        if self.screen.client.connected:
            await self.screen.close()
        await self.screen.until_closed(10)
        self.events += self.screen.logged()


@pytest.mark.timeout(300)
def test_kill_9_five_times_under_load(own_hub):
    hub = own_hub("crash")
    user = hub.user()
    accounts = [user.telegram(), user.telegram()]
    start = user.events()
    chance = random.Random(11)

    async def run():
        load = Load(accounts)
        await load.start()
        screen = ReturningScreen(hub, user.token)
        for _ in range(5):
            await screen.connect()
            await load.until_acknowledged(len(load.acknowledged) + 150)
            await asyncio.sleep(chance.uniform(0, 0.3))
            hub.kill()
            await screen.collect()
            await asyncio.to_thread(hub.start)
            acknowledged = list(load.acknowledged)
            stored = await asyncio.to_thread(texts_of, user)
            missing = {text for _, _, text in acknowledged} - stored
            assert not missing, f"acknowledged and lost: {sorted(missing)[:5]} of {len(missing)}"
        await screen.connect()
        await load.stop()
        last = (await asyncio.to_thread(user.events))[-1]["seq"]
        await screen.screen.until(lambda: screen.screen.logged() and screen.screen.logged()[-1].seq >= last, 20)
        await screen.collect()
        return load, screen

    load, screen = asyncio.run(run())
    assert len(load.acknowledged) >= 750
    assert_all_there_once(user, accounts, load.acknowledged)
    log = assert_log_is_whole(user)
    assert [event.seq for event in screen.events] == [item["seq"] for item in log]
    assert start == log[: len(start)]
    for event, item in zip(screen.events, log):
        assert (event.name, body(event.data)) == (item["type"], item["data"])
    assert user.unread()["totalUnread"] == len(load.acknowledged)
    hub.command("verify", "unread")


def texts_of(user):
    return {item["data"]["message"]["text"] for item in user.events() if item["type"] == "new_message"}


def test_a_second_hub_refuses_the_folder(own_hub):
    hub = own_hub("folder")
    # Another port, the same folder: two clusters on one folder would be the end of it.
    second = hub.command("serve", check=False, seconds=30, PORT=str(hub.port + 1))
    assert second.returncode != 0
    assert len(second.stderr.strip().splitlines()) == 1 or "already" in second.stderr
    assert hub.health().status_code == 200


def test_restarts_quickly_on_the_same_data(own_hub):
    hub = own_hub("again")
    user = hub.user()
    user.telegram().say(1)
    assert hub.stop() == 0
    assert not list(hub.data.rglob("postmaster.pid")), "its PostgreSQL stops with it"
    hub.start()
    assert user.unread()["totalUnread"] == 1


def test_survives_the_death_of_its_own_postgres(own_hub):
    hub = own_hub("postmaster")
    user = hub.user()
    account = user.telegram()
    account.say(1)
    (pid_file,) = hub.data.rglob("postmaster.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)

    async def run():
        load = Load([account], connections=4)
        load.next_number = 2
        await load.start()
        await load.until_acknowledged(20, 30)
        await load.stop()
        return load

    load = asyncio.run(run())
    assert all(status == 503 for _, status, _ in load.answers)
    assert user.unread()["totalUnread"] == len(load.acknowledged) + 1
    assert hub.process.poll() is None
