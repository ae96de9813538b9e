"""Connection state recovery, with a client that speaks as the stock JavaScript one does.

`Stock` keeps what socket.io-client 4 keeps: the `pid` of the CONNECT answer, and as offset the last argument
of an event when that is a string. It puts both into its next CONNECT, and calls itself recovered when the
answer has the same `pid`.
"""

import asyncio
import itertools
import json
import socket

import aiohttp
import pytest

from postgres import Cluster
from screen import Screen


@pytest.fixture
def cluster():
    with Cluster() as made:
        yield made


class Stock:
    def __init__(self, hub, auth, query=""):
        self.hub = hub
        self.auth = auth
        self.query = query
        self.pid = None
        self.offset = None
        self.id = None
        self.recovered = None
        self.events = []
        self.session = None
        self.socket = None
        self.reader = None
        self.changed = asyncio.Event()

    async def connect(self, hub=None):
        self.hub = hub or self.hub
        self.session = aiohttp.ClientSession()
        self.socket = await self.session.ws_connect(
            f"{self.hub.url}/socket.io/?EIO=4&transport=websocket{self.query}", max_msg_size=0
        )
        assert (await self.receive()).startswith("0")
        # Object.assign({pid, offset}, auth)
        fields = {"pid": self.pid, "offset": self.offset} if self.pid else {}
        fields = {name: value for name, value in fields.items() if value is not None}
        await self.socket.send_str("40" + json.dumps(fields | self.auth))
        answer = await self.receive()
        assert answer.startswith("40"), answer
        answer = json.loads(answer[2:])
        self.id = answer["sid"]
        self.recovered = self.pid is not None and answer.get("pid") == self.pid
        self.pid = answer.get("pid")
        self.reader = asyncio.create_task(self.read())
        return self

    async def receive(self):
        while True:
            message = await self.socket.receive()
            if message.type != aiohttp.WSMsgType.TEXT:
                return None
            if message.data == "2":
                await self.socket.send_str("3")
            else:
                return message.data

    async def read(self):
        while True:
            packet = await self.receive()
            if packet is None:
                return
            if not packet.startswith("42"):
                continue
            name, *arguments = json.loads(packet[2:])
            if self.pid and arguments and isinstance(arguments[-1], str):
                self.offset = arguments[-1]
            self.events.append((name, arguments))
            self.changed.set()

    def texts(self):
        return [arguments[0]["message"]["text"] for name, arguments in self.events if name == "new_message"]

    def named(self, name):
        return [arguments for event, arguments in self.events if event == name]

    async def until(self, predicate, seconds=10):
        async with asyncio.timeout(seconds):
            while not predicate():
                self.changed.clear()
                await self.changed.wait()

    async def drop(self):
        """The network goes away: no close frame."""
        self.reader.cancel()
        transport = self.socket.get_extra_info("socket")
        if transport is not None:
            transport.shutdown(socket.SHUT_RDWR)
        await self.session.close()


NUMBERS = itertools.count(1)


def say(account, *texts):
    return asyncio.to_thread(lambda: [account.say(next(NUMBERS), text) for text in texts])


def test_goes_on_where_it_was(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        client = await Stock(hub, {"token": user.token, "recovery": True}).connect()
        await client.until(lambda: client.named("authenticated"))
        await say(account, "one", "two")
        await client.until(lambda: client.texts() == ["one", "two"] and len(client.named("unread_count_update")) == 2)
        first = (client.id, client.pid)
        await client.drop()
        await say(account, "three", "four")
        # Without its token: the ticket says who it is.
        client.auth = {}
        await client.connect()
        assert client.recovered
        assert (client.id, client.pid) == first
        await client.until(lambda: len(client.texts()) == 4)
        await say(account, "five")
        await client.until(lambda: len(client.texts()) == 5)
        # A second time, from what came live after the first.
        await client.drop()
        await say(account, "six")
        await client.connect()
        assert client.recovered and client.id == first[0]
        await client.until(lambda: len(client.texts()) == 6)
        await asyncio.sleep(0.2)
        await client.drop()
        return client

    client = asyncio.run(run())
    assert client.texts() == ["one", "two", "three", "four", "five", "six"]
    # Every event has its number as offset, in order and each once.
    offsets = [int(arguments[-1]) for name, arguments in client.events if name != "authenticated"]
    assert offsets == sorted(set(offsets))
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    assert [arguments[0]["resumed"] for arguments in client.named("authenticated")] == [False, True, True]


def test_recovers_before_any_event_came(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        client = await Stock(hub, {"token": user.token, "recovery": True}).connect()
        await client.until(lambda: client.named("authenticated"))
        await client.drop()
        await say(account, "while away")
        await client.connect()
        assert client.recovered
        await client.until(lambda: client.texts() == ["while away"])
        await client.drop()

    asyncio.run(run())


def test_comes_back_before_the_old_connection_is_missed(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        old = await Stock(hub, {"token": user.token, "recovery": True}).connect()
        await old.until(lambda: old.named("authenticated"))
        new = Stock(hub, {"token": user.token})
        new.pid, new.offset = old.pid, old.offset
        await new.connect()
        assert new.recovered
        await new.until(lambda: new.named("authenticated"))
        # The end of the old one, now or later, must not be the end of the new one.
        await old.drop()
        await asyncio.sleep(0.3)
        await say(account, "hello")
        await new.until(lambda: new.texts() == ["hello"])
        await new.drop()

    asyncio.run(run())


def test_recovers_on_another_node_after_a_kill(own_hub, cluster):
    keys = {"DATABASE_URL": cluster.url, "ENCRYPTION_KEY": "ab" * 32}
    first = own_hub("first", **keys)
    second = own_hub("second", JWT_SECRET=first.jwt_secret, **keys)
    user = first.user()
    account = user.telegram()

    async def run():
        client = await Stock(first, {"token": user.token}, query="&recovery=1").connect()
        await client.until(lambda: client.named("authenticated"))
        await say(account, "one")
        await client.until(lambda: client.texts() == ["one"] and client.named("unread_count_update"))
        await asyncio.to_thread(first.kill)
        await client.session.close()
        user.hub = second
        await say(account, "two")
        await client.connect(second)
        assert client.recovered
        await client.until(lambda: client.texts() == ["one", "two"])
        await client.drop()

    asyncio.run(run())


def test_is_not_given_to_those_who_do_not_ask(hub):
    user = hub.user()
    account = user.telegram()

    async def run():
        client = await Stock(hub, {"token": user.token}).connect()
        assert client.pid is None
        await client.until(lambda: client.named("authenticated"))
        await say(account, "hello")
        await client.until(lambda: client.texts() == ["hello"])
        assert all(len(arguments) == 1 for _, arguments in client.events)
        await client.drop()

    asyncio.run(run())


def test_switches_by_configuration(own_hub):
    everybody = own_hub("on", CONNECTION_RECOVERY="on")
    nobody = own_hub("off", CONNECTION_RECOVERY="off")

    async def pid(hub):
        client = await Stock(hub, {"token": hub.user().token, "recovery": hub is nobody}).connect()
        await client.drop()
        return client.pid

    assert asyncio.run(pid(everybody))
    assert asyncio.run(pid(nobody)) is None


def test_starts_anew_when_it_cannot_go_on(hub):
    """A wrong ticket, another user's, an offset that never was, and one that retention took."""
    ana, ben = hub.user(), hub.user()
    account = ana.telegram()

    async def begin(user):
        client = await Stock(hub, {"token": user.token, "recovery": True}).connect()
        await client.until(lambda: client.named("authenticated"))
        await client.drop()
        client.events.clear()
        return client

    async def run():
        client = await begin(ana)
        offset = int(client.offset)
        for change, expected in [
            ({"pid": "AAAA"}, {"resumed": False}),
            ({"pid": client.pid[:-2] + "AA"}, {"resumed": False}),
            ({"offset": str(offset + 1_000)}, {"resumed": False}),
            ({"offset": "not a number"}, {"resumed": False}),
            ({"offset": None}, {"resumed": False}),
        ]:
            for name, value in change.items():
                setattr(client, name, value)
            await client.connect()
            assert not client.recovered and client.pid
            await client.until(lambda: client.named("authenticated"))
            assert client.named("authenticated")[0][0] | expected == client.named("authenticated")[0][0]
            missed = "offset" in change and change["offset"] == str(offset + 1_000)
            if missed:
                await client.until(lambda: client.named("resync_required"))
            await client.drop()
            client.events.clear()
        # Ben's token with Ana's ticket: he is himself, and is told nothing of hers.
        client = await begin(ana)
        await say(account, "for Ana alone")
        client.auth = {"token": ben.token}
        await client.connect()
        assert not client.recovered
        await client.until(lambda: client.named("authenticated"))
        assert client.named("authenticated")[0][0]["userId"] == ben.id
        await asyncio.sleep(0.2)
        assert client.texts() == [] and client.named("resync_required") == []
        await client.drop()

    asyncio.run(run())


def test_does_not_outlive_its_token(hub):
    short = hub.user(expires=2)

    async def run():
        client = await Stock(hub, {"token": short.token, "recovery": True}).connect()
        await client.until(lambda: client.named("authenticated"))
        await client.drop()
        await asyncio.sleep(2.2)
        client.auth = {}
        await client.connect()
        assert not client.recovered
        await asyncio.sleep(0.2)
        assert len(client.named("authenticated")) == 1
        await client.drop()

    asyncio.run(run())


def test_python_clients_that_take_two_arguments(hub):
    """What opting in means for a client whose library does not know recovery."""
    user = hub.user()
    account = user.telegram()

    async def run():
        screen = Screen(hub)
        heard = []
        screen.client.on("new_message", lambda data, offset: heard.append((data["seq"], offset)))
        async with screen:
            await screen.connect(auth={"token": user.token, "recovery": True})
            await screen.until(lambda: screen.client.connected)
            await say(account, "hello")
            for _ in range(100):
                if heard:
                    break
                await asyncio.sleep(0.05)
        assert heard and heard[0][1] == str(heard[0][0])

    asyncio.run(run())
