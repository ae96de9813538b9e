"""Clients that read or send too slowly are cut, and a thousand others notice nothing."""

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
import statistics
import time

import aiohttp
import pytest

from screen import RawSocket

OTHERS = 1000
ROUNDS = 20
SLOW = 20
# What the server allows: from the first byte of a head to its last; for a body of a few bytes; for
# output that nobody takes.
HEAD_SECONDS = 10
BODY_SECONDS = 30
READ_SECONDS = 30


class StoppedReader:
    """A WebSocket client that says the right things and then never reads again."""

    def __init__(self, hub):
        self.socket = socket.socket()
        # A small window, so that it is the hub that must hold what is not read, not the kernel.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", hub.port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{hub.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )
        self.until(b'"pingTimeout"')

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self.socket.sendall(b"\x81" + length + mask + masked)

    def until(self, marker):
        seen = b""
        while marker not in seen:
            chunk = self.socket.recv(4096)
            assert chunk, f"closed before {marker}: {seen}"
            seen += chunk

    def authenticate(self, token):
        self.send("40")
        self.until(b'40{"sid"')
        self.send("42" + json.dumps(["authenticate", {"token": token}]))
        self.until(b'"authenticated"')


@pytest.mark.timeout(240)
def test_a_slow_client_is_dropped_while_a_thousand_are_served(hub):
    slow, others = hub.user(), hub.user()
    loud, calm = slow.custom(), others.telegram()

    def connections():
        return hub.health().json()["services"]["websocket"]["connections"]

    async def run():
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            clients = [RawSocket(session, hub) for _ in range(OTHERS)]
            for start in range(0, OTHERS, 50):
                await asyncio.gather(*(client.connect(others.token) for client in clients[start : start + 50]))
            stopped = StoppedReader(hub)
            await asyncio.to_thread(stopped.authenticate, slow.token)
            assert await asyncio.to_thread(connections) == OTHERS + 1

            async def listen(client):
                texts = []
                while len(texts) < ROUNDS + 1:
                    name, data = await client.event()
                    if name == "new_message":
                        texts.append(data["message"]["text"])
                return texts

            listeners = [asyncio.create_task(listen(client)) for client in clients]
            await asyncio.to_thread(calm.say, 1, "round 0")
            await asyncio.sleep(1)
            before = hub.memory_bytes()
            peak = before
            dropped = None
            for number in range(1, ROUNDS + 1):
                # Some 60 MB in all, far beyond any bound of one connection.
                for part in range(15):
                    await asyncio.to_thread(loud.say, f"m{number}-{part}", "x" * 200_000)
                    peak = max(peak, hub.memory_bytes())
                await asyncio.to_thread(calm.say, number + 1, f"round {number}")
                if dropped is None and await asyncio.to_thread(connections) == OTHERS:
                    dropped = number
            heard = await asyncio.wait_for(asyncio.gather(*listeners), 60)
            metrics = (await asyncio.to_thread(hub.request, "GET", "/metrics")).text
            stopped.socket.close()
            for client in clients:
                await client.socket.close()
            return heard, before, peak, dropped, metrics

    heard, before, peak, dropped, metrics = asyncio.run(run())
    expected = [f"round {number}" for number in range(ROUNDS + 1)]
    assert all(texts == expected for texts in heard)
    assert dropped is not None, "the slow client was never disconnected"
    assert peak - before < 48 << 20, f"memory grew by {(peak - before) >> 20} MiB"
    slow_lines = [line for line in metrics.splitlines() if "slow" in line and not line.startswith("#")]
    assert any(float(line.rsplit(" ", 1)[1]) >= 1 for line in slow_lines), slow_lines


class SlowClient:
    """A raw connection. `lasted` is how long the hub bore it, `answer` what it said at the end."""

    def __init__(self, hub):
        self.hub = hub
        self.answer = b""
        self.lasted = None

    async def open(self, receive_bytes=None):
        connection = socket.socket()
        if receive_bytes:
            # A small window, so that it is the hub that must hold what is not read, not the kernel.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.hub.port))
        self.reader, self.writer = await asyncio.open_connection(sock=connection, limit=2**12)
        self.started = time.monotonic()

    async def drip(self, start, drops):
        """Sends `start`, then drops as long as the hub listens; a byte each, so that it is never silent."""
        await self.open()
        self.writer.write(start)
        reading = asyncio.create_task(self.reader.read())
        while not reading.done():
            self.writer.write(drops)
            await asyncio.wait([reading], timeout=0.5)
        with contextlib.suppress(ConnectionError):
            self.answer = await reading
        self.lasted = time.monotonic() - self.started
        self.writer.close()

    async def ask_without_reading(self, request):
        """Asks for more than any buffer holds and takes nothing of it."""
        await self.open(receive_bytes=4096)
        self.writer.transport.pause_reading()
        self.writer.write(request)


def connections(hub):
    metrics = hub.request("GET", "/metrics").text
    return int(re.search(r"^hub_http_connections (\d+)$", metrics, re.MULTILINE)[1])


async def heard(client):
    while True:
        name, data = await client.event()
        if name == "new_message":
            return data["message"]["text"]


@pytest.mark.timeout(120)
def test_slow_senders_and_readers_are_cut_while_a_thousand_are_served(hub):
    user = hub.user()
    account = user.telegram()
    heads, bodies, readers = ([SlowClient(hub) for _ in range(SLOW)] for _ in range(3))
    open_before = connections(hub)

    async def run():
        line = b"GET /livez HTTP/1.1\r\nHost: hub\r\n"
        post = b"POST /api/accounts HTTP/1.1\r\nHost: hub\r\nContent-Length: 900\r\n\r\n{"
        # Some tens of kilobytes each: all answers together are far more than the kernel holds.
        ask = b"GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n" * 1000
        slow = [asyncio.create_task(client.drip(line + b"X: ", b"a")) for client in heads]
        slow += [asyncio.create_task(client.drip(post, b" ")) for client in bodies]
        await asyncio.gather(*(client.ask_without_reading(ask) for client in readers))
        readers_started = time.monotonic()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = [RawSocket(session, hub) for _ in range(OTHERS)]
            for start in range(0, OTHERS, 50):
                await asyncio.gather(*(client.connect(user.token) for client in clients[start : start + 50]))
            number = 0

            async def round_of_messages():
                nonlocal number
                number += 1
                started = time.monotonic()
                await asyncio.to_thread(account.say, number, f"round {number}")
                texts = await asyncio.wait_for(asyncio.gather(*(heard(client) for client in clients)), 10)
                assert set(texts) == {f"round {number}"}
                return time.monotonic() - started

            beside = []
            readers_lasted = None
            while readers_lasted is None or not all(task.done() for task in slow):
                assert time.monotonic() - readers_started < 60, "slow clients are still there"
                beside.append(await round_of_messages())
                slow_ones = await asyncio.to_thread(connections, hub) - open_before - OTHERS
                # Some connections of the test itself come and go.
                if slow_ones < SLOW // 2 and readers_lasted is None:
                    readers_lasted = time.monotonic() - readers_started
                await asyncio.sleep(1)
            alone = [await round_of_messages() for _ in range(10)]
            await asyncio.gather(*slow)
            for client in clients:
                await client.socket.close()
        for client in readers:
            client.writer.transport.abort()
        return readers_lasted, beside, alone

    readers_lasted, beside, alone = asyncio.run(run())
    for client in heads:
        assert client.answer.startswith(b"HTTP/1.1 408 ") and b"head_too_slow" in client.answer, client.answer
        assert HEAD_SECONDS - 1 < client.lasted < HEAD_SECONDS + 6
    for client in bodies:
        assert client.answer.startswith(b"HTTP/1.1 408 ") and b"body_too_slow" in client.answer, client.answer
        assert BODY_SECONDS - 1 < client.lasted < BODY_SECONDS + 6
    assert READ_SECONDS - 1 < readers_lasted < READ_SECONDS + 12
    # The same machine, with the slow clients and without them.
    assert len(beside) >= 10
    assert statistics.median(beside) < 2 * statistics.median(alone) + 0.3, (beside, alone)
