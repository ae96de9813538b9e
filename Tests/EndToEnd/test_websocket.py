"""The plain WebSocket endpoint with stock clients: with and without compression, and from a browser's page."""

import asyncio
import http.server
import json
import shutil
import subprocess
import tempfile
import threading

import aiohttp
import pytest
import websockets

from hub import Hub

CHROMIUM = shutil.which("chromium")


def long_text(number):
    return f"{number}: " + "again and again, " * 200


async def talk(user, account, send, receive):
    """The conversation that every client has; both calls take and give JSON."""
    await send({"type": "authenticate", "data": {"token": user.token}})
    granted = await receive()
    assert granted["type"] == "authenticated" and granted["data"]["userId"] == user.id
    for number in range(3):
        await asyncio.to_thread(account.say, number + 1, long_text(number))
        events = {}
        while "unread_count_update" not in events:
            event = await receive()
            events[event["type"]] = event["data"]
        assert events["new_message"]["message"]["text"] == long_text(number)
        assert events["unread_count_update"]["totalUnread"] == number + 1


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets(hub, compression):
    user = hub.user()
    account = user.telegram()

    async def run():
        address = hub.url.replace("http", "ws") + "/ws"
        async with websockets.connect(address, compression=compression, proxy=None) as connection:
            agreed = connection.response.headers.get("Sec-WebSocket-Extensions", "")
            assert agreed.startswith("permessage-deflate") == bool(compression)

            async def receive():
                return json.loads(await asyncio.wait_for(connection.recv(), 5))

            await talk(user, account, lambda value: connection.send(json.dumps(value)), receive)

    asyncio.run(run())


@pytest.mark.parametrize("compress", [15, 9, 0])
def test_aiohttp(hub, compress):
    user = hub.user()
    account = user.telegram()

    async def run():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(hub.url + "/ws", compress=compress) as connection:
                assert bool(connection.compress) == bool(compress)
                await talk(
                    user, account, connection.send_json, lambda: connection.receive_json(timeout=5))

    asyncio.run(run())


PAGE = """<!doctype html><meta charset="utf-8"><script>
const socket = new WebSocket("%(url)s");
const events = [];
const report = (text) => fetch("/report", {method: "POST", body: text});
socket.onopen = () => socket.send(JSON.stringify({type: "authenticate", data: {token: "%(token)s"}}));
socket.onmessage = (message) => {
  const event = JSON.parse(message.data);
  events.push(event);
  if (event.type === "authenticated") report("ready");
  if (event.type === "unread_count_update") report(JSON.stringify({events, extensions: socket.extensions}));
};
socket.onclose = (close) => report("closed " + close.code);
</script>"""


class Site:
    """A web site with one page, which takes down what the page reports."""

    def __init__(self):
        self.reports = []
        self.page = ""
        self.arrived = threading.Condition()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(site.page.encode(), "text/html")

            def do_POST(self):
                report = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with site.arrived:
                    site.reports.append(report)
                    site.arrived.notify_all()
                self.answer(b"", "text/plain")

            def answer(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def report(self, index):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.reports) > index, 60), self.reports
            return self.reports[index]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian package chromium)")
@pytest.mark.parametrize("is_allowed", [True, False], ids=["allowed", "foreign"])
def test_a_page_in_chromium(is_allowed):
    site = Site()
    hub = Hub("page", **({"FRONTEND_URL": site.origin} if is_allowed else {"FRONTEND_URL": "https://other.example"}))
    profile = tempfile.mkdtemp(prefix="e2e-chromium-", dir="/tmp")
    browser = None
    try:
        hub.start()
        user = hub.user()
        account = user.telegram()
        site.page = PAGE % {"url": hub.url.replace("http", "ws") + "/ws", "token": user.token}
        browser = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--no-proxy-server", "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={profile}", site.origin],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = site.report(0)
        if not is_allowed:
            assert first == "closed 1006"
            return
        assert first == "ready"
        account.say(1, long_text(1))
        report = json.loads(site.report(1))
        assert report["extensions"].startswith("permessage-deflate")
        events = {event["type"]: event["data"] for event in report["events"]}
        assert events["authenticated"]["userId"] == user.id
        assert events["new_message"]["message"]["text"] == long_text(1)
    finally:
        if browser is not None:
            browser.terminate()
            browser.wait(20)
        shutil.rmtree(profile, ignore_errors=True)
        hub.close()
        site.close()
