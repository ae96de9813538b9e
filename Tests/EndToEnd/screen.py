"""An open frontend: a stock Socket.IO client that writes down all it is told.

The asyncio client keeps the order of events, so tests of order use `Screen`. The threaded client calls
each handler on a thread of its own; `ThreadedScreen` is for what does not depend on order.
"""

import asyncio
import json
import threading
import time
from dataclasses import dataclass

import aiohttp
import socketio

WEBSOCKET = ["websocket"]
POLLING = ["polling"]
UPGRADE = ["polling", "websocket"]


@dataclass
class Event:
    name: str
    data: dict
    at: float

    @property
    def seq(self):
        return self.data.get("seq") if isinstance(self.data, dict) else None


def body(event_data):
    """What the event log holds as `data`: the pushed object without what the push adds."""
    return {key: value for key, value in event_data.items() if key not in ("seq", "timestamp")}


class Recorded:
    """Questions to the list of events, the same for both clients."""

    events: list

    def named(self, name):
        return [event for event in self.events if event.name == name]

    def logged(self):
        """The events that have a number in the user's log, as they came."""
        return [event for event in self.events if event.seq is not None and event.name != "authenticated"]

    def texts(self):
        return [event.data["message"]["text"] for event in self.named("new_message")]


class Screen(Recorded):
    """Use as `async with Screen(hub) as screen:`, or with `connect` and `close`."""

    def __init__(self, hub, transports=WEBSOCKET):
        self.hub = hub
        self.transports = transports
        self.events = []
        self.closed_at = None
        self.opened_at = None
        self.changed = asyncio.Event()
        self.client = socketio.AsyncClient(reconnection=False, request_timeout=10)
        self.client.on("*", self._event)
        self.client.on("disconnect", self._disconnect)

    async def _event(self, name, data=None):
        self.events.append(Event(name, data, time.monotonic()))
        self.changed.set()

    async def _disconnect(self, *_):
        self.closed_at = time.monotonic()
        self.changed.set()

    async def connect(self, auth=None, headers=None, query=""):
        await self.client.connect(
            self.hub.url + query, auth=auth, headers=headers or {}, transports=self.transports, wait_timeout=10
        )
        self.opened_at = time.monotonic()
        return self

    async def authenticate(self, token, last_seq=None):
        message = {"token": token}
        if last_seq is not None:
            message["lastSeq"] = last_seq
        before = len(self.named("authenticated"))
        await self.client.emit("authenticate", message)
        await self.until(lambda: len(self.named("authenticated")) > before or self.named("auth_error"))
        assert not self.named("auth_error"), self.named("auth_error")
        return self.named("authenticated")[-1].data

    async def until(self, predicate, seconds=10, what="the event"):
        deadline = time.monotonic() + seconds
        while True:
            value = predicate()
            if value:
                return value
            left = deadline - time.monotonic()
            seen = [(event.name, event.seq) for event in self.events[-20:]]
            assert left > 0, f"{what} did not come within {seconds} s; seen last: {seen}"
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), min(left, 0.5))
            except TimeoutError:
                continue

    async def until_closed(self, seconds=10):
        await self.until(lambda: self.closed_at, seconds, "the close")
        return self.closed_at

    async def quiet(self, seconds=0.5):
        """Lets what should not come have its chance to come."""
        await asyncio.sleep(seconds)

    async def call(self, name, data):
        return await self.client.call(name, data, timeout=10)

    async def close(self):
        await self.client.disconnect()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        if self.client.connected:
            await self.close()


async def open_screen(hub, token, last_seq=None, transports=WEBSOCKET):
    screen = Screen(hub, transports)
    await screen.connect()
    await screen.authenticate(token, last_seq)
    return screen


class ThreadedScreen(Recorded):
    """The same on the threaded client."""

    def __init__(self, hub, transports=WEBSOCKET):
        self.hub = hub
        self.transports = transports
        self.events = []
        self.closed_at = None
        self.lock = threading.Condition()
        self.client = socketio.Client(reconnection=False, request_timeout=10)
        self.client.on("*", self._event)
        self.client.on("disconnect", self._disconnect)

    def _event(self, name, data=None):
        with self.lock:
            self.events.append(Event(name, data, time.monotonic()))
            self.lock.notify_all()

    def _disconnect(self, *_):
        with self.lock:
            self.closed_at = time.monotonic()
            self.lock.notify_all()

    def connect(self, auth=None, headers=None, query=""):
        self.client.connect(
            self.hub.url + query, auth=auth, headers=headers or {}, transports=self.transports, wait_timeout=10
        )

    def authenticate(self, token):
        self.client.emit("authenticate", {"token": token})
        self.until(lambda: self.named("authenticated") or self.named("auth_error"))
        assert not self.named("auth_error"), self.named("auth_error")
        return self.named("authenticated")[-1].data

    def until(self, predicate, seconds=10):
        with self.lock:
            assert self.lock.wait_for(predicate, seconds), f"not within {seconds} s; seen: {self.events[-20:]}"

    def close(self):
        if self.client.connected:
            self.client.disconnect()


class RawSocket:
    """Engine.IO 4 over one WebSocket, by hand: cheap enough to open a thousand."""

    def __init__(self, session, hub):
        self.session = session
        self.hub = hub
        self.socket = None
        self.events = []

    async def connect(self, token):
        url = f"{self.hub.url}/socket.io/?EIO=4&transport=websocket"
        self.socket = await self.session.ws_connect(url, max_msg_size=0)
        await self.packet("0")
        await self.socket.send_str("40")
        await self.packet("40")
        await self.socket.send_str("42" + json.dumps(["authenticate", {"token": token}]))
        while True:
            name, data = await self.event()
            if name == "authenticated":
                return data
            assert name != "auth_error", data

    async def packet(self, prefix):
        while True:
            message = await self.socket.receive()
            assert message.type == aiohttp.WSMsgType.TEXT, message
            if message.data == "2":
                await self.socket.send_str("3")
            elif message.data.startswith(prefix):
                return message.data

    async def event(self):
        name, data = json.loads((await self.packet("42"))[2:])
        self.events.append((name, data))
        return name, data
