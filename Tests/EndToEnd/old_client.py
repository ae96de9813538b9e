"""A stock client of Socket.IO 2's time (python-socketio 4, Engine.IO 3), in a process with libraries of its own.

Called with the hub's address, a token, the transports and `sync` or `asyncio`. Prints each event as a line of
JSON, and ends after `unread_count_update`.
"""

import asyncio
import json
import sys

import socketio

url, token, transports, kind = sys.argv[1:]
transports = transports.split(",")
EVENTS = ("authenticated", "auth_error", "new_message", "unread_count_update")


def show(event, *arguments):
    print(json.dumps([event, *arguments]), flush=True)


def run_sync():
    client = socketio.Client(reconnection=False)
    for event in EVENTS:
        client.on(event, lambda *arguments, event=event: (
            show(event, *arguments), event == "unread_count_update" and client.disconnect()))
    client.connect(url, transports=transports)
    client.emit("authenticate", {"token": token})
    client.wait()


async def run_asyncio():
    client = socketio.AsyncClient(reconnection=False)
    for event in EVENTS:
        async def handler(*arguments, event=event):
            show(event, *arguments)
            if event == "unread_count_update":
                await client.disconnect()
        client.on(event, handler)
    await client.connect(url, transports=transports)
    await client.emit("authenticate", {"token": token})
    await client.wait()


if kind == "sync":
    run_sync()
else:
    asyncio.run(run_asyncio())
show("end")
