"""One screen stops reading; the hub drops it at its bound and a thousand others notice nothing."""

import asyncio
import base64
import json
import os
import socket

import aiohttp
import pytest

from screen import RawSocket

OTHERS = 1000
ROUNDS = 20


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
