"""wire-echo under test: the protocols without a hub, driven by raw requests."""

import os
import subprocess
from pathlib import Path

import requests
import websocket

from hub import BINARY

ECHO_BINARY = Path(os.environ.get("ECHO_BINARY", BINARY.with_name("wire-echo")))


class Echo:
    """One wire-echo process on a port that the system chose."""

    def __init__(self, *options):
        assert ECHO_BINARY.exists(), f"{ECHO_BINARY} is not built: swift build -c release --product wire-echo"
        self.process = subprocess.Popen([str(ECHO_BINARY), "--port", "0", *options], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().removeprefix("listening on ").strip()
        assert self.address, "wire-echo did not start"

    @property
    def url(self):
        return f"http://{self.address}"

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def socket(self, query, path="/engine.io/"):
        """A WebSocket; what is not answered within five seconds is a failure."""
        return websocket.create_connection(f"ws://{self.address}{path}?{query}&transport=websocket", timeout=5)


class Polling:
    """The raw requests of one session by polling."""

    def __init__(self, echo, revision=4, path="/engine.io/", **query):
        self.session = requests.Session()
        self.session.trust_env = False
        self.url = echo.url + path
        self.query = {"EIO": revision, "transport": "polling", **query}
        self.opened = self.get()

    def get(self, **options):
        return self.session.get(self.url, params=self.query, timeout=5, **options)

    def post(self, body, **options):
        return self.session.post(self.url, params=self.query, data=body, timeout=5, **options)

    def use(self, identifier):
        self.query["sid"] = identifier
        return self
