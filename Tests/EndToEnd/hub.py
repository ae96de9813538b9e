"""A hub under test: the real program on a data folder of its own, driven only from outside.

The harness knows what the contract says and nothing of the code: the commands, the routes, the
signatures of the platforms, the event log. Each hub listens on a port of its own on 127.0.0.1.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import psycopg
import requests

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("HUB_BINARY", ROOT / ".build/release/messaging-hub"))
START_SECONDS = 60
STOP_SECONDS = 15


def unique(prefix):
    """A name no other test uses."""
    return f"{prefix}-{secrets.token_hex(4)}"


def free_port():
    """A port outside the kernel's range for outgoing connections, so that none takes it during a restart."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def forget_dead_clocks():
    """Removes what libfaketime left of processes that were killed: the next one of that number would not start."""
    for file in Path("/dev/shm").glob("*faketime_s*_*"):
        if not Path("/proc", file.name.rsplit("_", 1)[1]).exists():
            with contextlib.suppress(OSError):
                file.unlink()


def stopped_clock(seconds):
    """An environment in which the wall clock stands at this moment and the monotonic one goes on (libfaketime)."""
    forget_dead_clocks()
    return {
        "LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1",
        "FAKETIME": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Names of what is not there: the library would make it, and change the environment for that while
        # the program starts, after which Swift finds no arguments.
        "FAKETIME_SHARED": "/none /none",
        "TZ": "UTC",
    }


def wrong_clock(seconds):
    """An environment in which the wall clock is so many seconds off and the monotonic one is not."""
    return stopped_clock(0) | {"FAKETIME": f"{seconds:+d}s"}


def wait_until(predicate, seconds=10, what="the condition", every=0.02):
    """Returns the first true value of `predicate`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(every)


class Hub:
    """One hub process and the folder it keeps. `kill` and `start` again is a crash and a restart.

    With `clock` it and its commands live in that second of the Unix era, which never ends.
    """

    def __init__(self, name="hub", clock=None, **environment):
        self.folder = Path(tempfile.mkdtemp(prefix=f"e2e-{name}-", dir="/tmp"))
        self.folder.chmod(0o755)  # As root the cluster belongs to another user, who must get through.
        self.data = self.folder / "data"
        self.log_path = self.folder / "hub.log"
        self.port = free_port()
        self.jwt_secret = secrets.token_hex(32)
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HUB_", "PG", "JWT_")) and key not in ("DATABASE_URL", "REDIS_URL", "PORT")
        }
        self.environment |= {
            "PORT": str(self.port),
            "HUB_DATA": str(self.data),
            "HUB_LOG": "json",
            "JWT_SECRET": self.jwt_secret,
        }
        self.clock = clock
        if clock is not None:
            self.environment |= stopped_clock(clock)
        self.environment |= {key: str(value) for key, value in environment.items()}
        self.process = None
        self.session = requests.Session()
        self.session.trust_env = False

    # The process.

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self, wait=True):
        assert BINARY.exists(), f"{BINARY} is not built: make build"
        assert self.process is None, "the hub runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(BINARY), "serve"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=START_SECONDS):
        def ready():
            assert self.process.poll() is None, f"the hub ended with {self.process.returncode}:\n{self.log_tail()}"
            try:
                return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
            except requests.RequestException:
                return False

        wait_until(ready, seconds, f"/readyz (log:\n{self.log_tail()}\n)")

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM, and the exit code. A hub that does not leave in time is a failure."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.process = None
            raise AssertionError(f"the hub did not stop within {seconds} s:\n{self.log_tail()}") from None
        self.process = None
        return code

    def kill(self):
        """kill -9 of the hub's own process only: its PostgreSQL goes on, as after a real crash."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self):
        """Stops the hub and what it started, and removes the folder."""
        # A hub waits some seconds for its clients' idle connections: this is one.
        self.session.close()
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
        finally:
            self.process = None
            self.stop_left_over_cluster()
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop_left_over_cluster(self):
        for pid_file in self.data.rglob("postmaster.pid"):
            try:
                os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
            except (OSError, ValueError, IndexError):
                continue
            deadline = time.monotonic() + 10
            while pid_file.exists() and time.monotonic() < deadline:
                time.sleep(0.05)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # What it says.

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=30):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def memory_bytes(self):
        """The resident set of the hub's process, without its PostgreSQL."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def health(self):
        return self.session.get(f"{self.url}/health", timeout=5)

    def database(self):
        """A connection to the hub's own database, past every policy."""
        url = self.command("database-url").stdout.strip()
        return psycopg.connect(url, autocommit=True)

    # Commands.

    def command(self, *arguments, check=True, seconds=60, **environment):
        result = subprocess.run(
            [str(BINARY), *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        if check:
            assert result.returncode == 0, f"{arguments} ended with {result.returncode}: {result.stdout}{result.stderr}"
        return result

    # Tokens: most tests sign their own, which is what an identity provider would do.

    def token(self, user, tenant=None, email=None, roles=None, expires=3600, **claims):
        now = int(time.time() if self.clock is None else self.clock)
        payload = {"sub": user, "iat": now, "exp": now + expires}
        if tenant is not None:
            payload["tenant"] = tenant
        if email is not None:
            payload["email"] = email
        if roles is not None:
            payload["roles"] = roles
        return jwt.encode(payload | claims, self.jwt_secret, algorithm="HS256")

    def user(self, name=None, **options):
        return User(self, name or unique("user"), **options)

    def request(self, method, path, token=None, **options):
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        options.setdefault("timeout", 15)
        return self.session.request(method, self.url + path, headers=headers, **options)


class User:
    """A person with a token, and the REST calls in that person's name."""

    def __init__(self, hub, name, **options):
        self.hub = hub
        self.id = name
        self.token = hub.token(name, **options)

    def request(self, method, path, expect=None, **options):
        response = self.hub.request(method, path, token=self.token, **options)
        if expect is not None:
            assert response.status_code == expect, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def get(self, path, **parameters):
        return self.request("GET", path, expect=200, params=parameters).json()

    def post(self, path, body=None, expect=200):
        response = self.request("POST", path, expect=expect, **({} if body is None else {"json": body}))
        return response.json() if response.content else None

    def patch(self, path, body):
        return self.request("PATCH", path, expect=200, json=body).json()

    def pages(self, path, **parameters):
        """All items of a list, page by page to the end."""
        items, cursor = [], None
        for _ in range(1000):
            page = self.get(path, **parameters, **({"cursor": cursor} if cursor else {}))
            assert set(page) >= {"items", "nextCursor"}, page
            items += page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return items
        raise AssertionError("the list has no end")

    def conversations(self, **parameters):
        return self.pages("/api/conversations", **parameters)

    def messages(self, conversation, **parameters):
        return self.pages(f"/api/conversations/{conversation}/messages", **parameters)

    def unread(self):
        return self.get("/api/unread")

    def events(self, after=0):
        """The user's whole event log after a sequence number."""
        items = []
        while True:
            page = self.get("/api/events", after=after, limit=100)
            assert set(page) >= {"items", "lastSeq"}, page
            items += page["items"]
            if not page["items"] or page["items"][-1]["seq"] >= page["lastSeq"]:
                return items
            after = page["items"][-1]["seq"]

    def telegram(self, name="Support", secret=None):
        secret = secret or secrets.token_urlsafe(24)
        body = {"platform": "telegram", "name": name, "credentials": {"webhookSecret": secret}}
        return TelegramAccount(self, self.post("/api/accounts", body, expect=201), secret)

    def custom(self, name="Source", secret=None):
        secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        body = {"platform": "custom", "name": name, "credentials": {"webhookSecret": secret}}
        return CustomAccount(self, self.post("/api/accounts", body, expect=201), secret)


@dataclass
class Account:
    user: User
    json: dict
    secret: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self):
        self.session.trust_env = False

    @property
    def hub(self):
        return self.user.hub

    @property
    def id(self):
        return self.json["id"]

    @property
    def key(self):
        return self.json["accountKey"]

    @property
    def path(self):
        return f"/webhooks/{self.json['platform']}/{self.key}"

    def signed(self, body):
        """Headers and bytes of a valid delivery."""
        raise NotImplementedError

    def deliver(self, payload, expect=200, session=None, timeout=15):
        headers, body = self.signed(payload)
        response = (session or self.session).post(
            self.hub.url + self.path, data=body, headers=headers, timeout=timeout
        )
        if expect is not None:
            assert response.status_code == expect, f"{response.status_code} {response.text}"
        return response


def encoded(payload):
    return payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()


class TelegramAccount(Account):
    """Sends what Telegram sends. Numbers of messages grow within one account."""

    numbers = None

    def signed(self, payload):
        return {
            "Content-Type": "application/json",
            "X-Telegram-Bot-Api-Secret-Token": self.secret,
        }, encoded(payload)

    def update(self, number, text=None, chat=1001, date=None, **more):
        """An Update with one message of a private chat."""
        sender = {"id": chat, "is_bot": False, "first_name": f"Visitor {chat}"}
        message = {
            "message_id": number,
            "from": sender,
            "chat": {"id": chat, "type": "private", "first_name": sender["first_name"]},
            "date": date if date is not None else 1_795_000_000 + number,
            "text": text if text is not None else f"message {number}",
        }
        return {"update_id": 500_000 + number, "message": message | more}

    def edited(self, number, text, chat=1001, date=None, edit_date=None):
        update = self.update(number, text, chat, date)
        message = update.pop("message")
        message["edit_date"] = edit_date or message["date"] + 60
        return {"update_id": 700_000 + number, "edited_message": message}

    def reaction(self, number, emoji, chat=1001, date=None):
        new = [{"type": "emoji", "emoji": one} for one in emoji]
        return {
            "update_id": 800_000 + number,
            "message_reaction": {
                "chat": {"id": chat, "type": "private", "first_name": f"Visitor {chat}"},
                "message_id": number,
                "user": {"id": chat, "is_bot": False, "first_name": f"Visitor {chat}"},
                "date": date or 1_795_000_000 + number + 30,
                "old_reaction": [],
                "new_reaction": new,
            },
        }

    def say(self, number, text=None, **more):
        return self.deliver(self.update(number, text, **more))


class CustomAccount(Account):
    """Any other system, with Standard Webhooks signatures."""

    def signed(self, payload, identifier=None, timestamp=None, secret=None):
        body = encoded(payload)
        identifier = identifier or f"msg_{uuid.uuid4().hex}"
        timestamp = int(time.time()) if timestamp is None else timestamp
        key = base64.b64decode((secret or self.secret).removeprefix("whsec_"))
        digest = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }, body

    def message(self, identifier, text="hello", conversation="c1", sent_at="2026-11-01T10:00:00.000Z", **more):
        return {
            "type": "message",
            "conversation": {"id": conversation, "kind": "direct", "title": f"Conversation {conversation}"},
            "message": {
                "id": identifier,
                "text": text,
                "sentAt": sent_at,
                "sender": {"id": "v1", "name": "Visitor"},
            }
            | more,
        }

    def say(self, identifier, text="hello", **more):
        return self.deliver(self.message(identifier, text, **more))


class Background:
    """A thread whose failure is the test's failure."""

    def __init__(self, body):
        self.error = None
        self.stopping = threading.Event()

        def run():
            try:
                body(self.stopping)
            except BaseException as error:  # noqa: BLE001  (raised again in join)
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def join(self, seconds=60):
        self.stopping.set()
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the background thread did not end"
        if self.error is not None:
            raise self.error


PROBLEM_CODE = re.compile(r"^[a-z][a-z0-9]*([_.-][a-z0-9]+)*$")


def assert_problem(response, status):
    """An API error: RFC 9457 with a stable code."""
    assert response.status_code == status, f"{response.status_code} {response.text}"
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json", response.headers
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"] and isinstance(problem["title"], str)
    assert PROBLEM_CODE.match(problem["code"]), problem
    return problem
