"""A homeserver under test control: Synapse in an environment of its own, on loopback, with SQLite in a folder that
goes with it; clients of its users; and a gateway between a hub and it that can lose answers.
"""

import base64
import hashlib
import hmac
import itertools
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote, urlencode

import requests

from hub import ROOT, free_port, unique, wait_until
from platform_server import CUT, HANG, PlatformServer

PYTHON = Path(os.environ.get("SYNAPSE_PYTHON", ROOT / ".build/synapse/bin/python"))
NAME = "hub.test"
START_SECONDS = 60
UNLIMITED = {"per_second": 1_000_000, "burst_count": 1_000_000}


def session():
    made = requests.Session()
    made.trust_env = False
    return made


class Synapse:
    """One homeserver. It federates with nobody and looks nothing up."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="e2e-synapse-", dir="/tmp"))
        self.port = free_port()
        self.secret = secrets.token_hex(16)
        self.session = session()
        self.numbers = itertools.count(1)
        self.process = None
        key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        (self.folder / "signing.key").write_text(f"ed25519 a_test {key}\n")
        (self.folder / "log.json").write_text(json.dumps(self.logging()))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def configuration(self):
        limits = ["message", "registration", "admin_redaction", "joins_per_room", "invites", "room_creation", "reports"]
        nested = {"login": ["address", "account", "failed_attempts"], "joins": ["local", "remote"]}
        nested["invites"] = ["per_room", "per_user", "per_issuer"]
        return {
            "server_name": NAME,
            "pid_file": str(self.folder / "pid"),
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "resources": [{"names": ["client", "media"]}],
                }
            ],
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}},
            "log_config": str(self.folder / "log.json"),
            "media_store_path": str(self.folder / "media"),
            "signing_key_path": str(self.folder / "signing.key"),
            "registration_shared_secret": self.secret,
            "macaroon_secret_key": secrets.token_hex(16),
            "form_secret": secrets.token_hex(16),
            "bcrypt_rounds": 4,
            "report_stats": False,
            "trusted_key_servers": [],
            "federation_domain_whitelist": [],
            "presence": {"enabled": False},
            # A client without a place in the sync is told how things are now, each time.
            "caches": {"sync_response_cache_duration": 0},
            "use_appservice_legacy_authorization": False,
            "app_service_config_files": [str(self.folder / "service.json")],
            **{f"rc_{name}": UNLIMITED for name in limits},
            **{f"rc_{name}": {part: UNLIMITED for part in parts} for name, parts in nested.items()},
        }

    def logging(self):
        return {
            "version": 1,
            "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {
                "file": {
                    "class": "logging.FileHandler",
                    "formatter": "plain",
                    "filename": str(self.folder / "log"),
                }
            },
            "root": {"level": "WARNING", "handlers": ["file"]},
        }

    # The process.

    def start(self, service):
        """Starts with an application service's registration."""
        # JSON is YAML.
        (self.folder / "service.json").write_text(json.dumps(service))
        (self.folder / "homeserver.json").write_text(json.dumps(self.configuration()))
        assert PYTHON.exists(), f"{PYTHON} is not there: .ci/test.sh makes it"
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen(
                [str(PYTHON), "-m", "synapse.app.homeserver", "--config-path", str(self.folder / "homeserver.json")],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"Synapse ended with {self.process.returncode}:\n{self.log_tail()}"
            try:
                return self.session.get(f"{self.url}/health", timeout=2).status_code == 200
            except requests.RequestException:
                return False

        wait_until(ready, START_SECONDS, "Synapse", every=0.1)
        return self

    def log_tail(self, lines=30):
        texts = [(self.folder / name).read_text() for name in ("out", "log") if (self.folder / name).exists()]
        return "\n".join("\n".join(texts).splitlines()[-lines:])

    def close(self):
        self.session.close()
        if self.process is not None and self.process.poll() is None:
            # Whoever asks for news would hold it up, and it has nothing to keep.
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def user(self, name="user", **options):
        """Registers somebody by the shared secret."""
        address = f"{self.url}/_synapse/admin/v1/register"
        nonce = self.session.get(address, timeout=15).json()["nonce"]
        name = unique(name)
        signed = "\0".join([nonce, name, "password", "notadmin"]).encode()
        response = self.session.post(
            address,
            json={
                "nonce": nonce,
                "username": name,
                "displayname": name,
                "password": "password",
                "admin": False,
                "mac": hmac.new(self.secret.encode(), signed, hashlib.sha1).hexdigest(),
            },
            timeout=15,
        )
        assert response.status_code == 200, response.text
        return Client(self, response.json()["user_id"], response.json()["access_token"])


class Client:
    """What a user's own client does. With `acts` the token is an application service's, which acts for this user."""

    def __init__(self, server, user, token, acts=False):
        self.server = server
        self.id = user
        self.token = token
        self.acts = acts
        self.name = user[1:].split(":")[0]
        self.session = session()

    def call(self, method, path, body=None, expect=200, **options):
        """`path` is what stands behind `/_matrix/client/v3/`."""
        if body is not None:
            options["json"] = body
        if self.acts:
            options["params"] = options.get("params", {}) | {"user_id": self.id}
        response = self.session.request(
            method,
            f"{self.server.url}/_matrix/client/v3/{path}",
            headers={"Authorization": f"Bearer {self.token}"} | options.pop("headers", {}),
            timeout=30,
            **options,
        )
        assert response.status_code == expect, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def service_user(self, name):
        """Registers one of the service's users; this one has the service's token."""
        self.call("POST", "register", {"type": "m.login.application_service", "username": name, "inhibit_login": True})
        return Client(self.server, f"@{name}:{NAME}", self.token, acts=True)

    def room(self, *invited, **options):
        """A room that all of these are in."""
        body = {"invite": [other.id for other in invited], "preset": "private_chat"} | options
        room = Room(self.call("POST", "createRoom", body)["room_id"])
        for other in invited:
            other.join(room)
        return room

    def join(self, room):
        self.call("POST", f"join/{room.path}", {})

    def leave(self, room):
        self.call("POST", f"rooms/{room.path}/leave", {})

    # What is said.

    def event(self, room, kind, content):
        number = next(self.server.numbers)
        return self.call("PUT", f"rooms/{room.path}/send/{kind}/t{number}", content)["event_id"]

    def say(self, room, text, relation=None, **content):
        relates = {"m.relates_to": relation} if relation else {}
        return self.event(room, "m.room.message", {"msgtype": "m.text", "body": text} | relates | content)

    def edit(self, room, event, text):
        content = {"m.new_content": {"msgtype": "m.text", "body": text}}
        return self.say(room, f"* {text}", {"rel_type": "m.replace", "event_id": event}, **content)

    def react(self, room, event, sign):
        relation = {"rel_type": "m.annotation", "event_id": event, "key": sign}
        return self.event(room, "m.reaction", {"m.relates_to": relation})

    def redact(self, room, event):
        number = next(self.server.numbers)
        return self.call("PUT", f"rooms/{room.path}/redact/{quote(event)}/t{number}", {})["event_id"]

    def show(self, room, name, content, kind="image/png"):
        """Uploads a picture and posts it."""
        response = self.session.post(
            f"{self.server.url}/_matrix/media/v3/upload",
            params={"filename": name},
            data=content,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
            timeout=15,
        )
        uri = response.json()["content_uri"]
        info = {"mimetype": kind, "size": len(content)}
        return self.say(room, name, msgtype="m.image", url=uri, info=info), uri

    def read(self, room, event):
        self.call("POST", f"rooms/{room.path}/receipt/m.read/{quote(event)}", {})

    def download(self, uri):
        response = self.session.get(
            f"{self.server.url}/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=15,
        )
        assert response.status_code == 200, response.text
        return response.content

    # What is seen.

    def events(self, room, kind="m.room.message"):
        """The room's events of a kind, oldest first."""
        found, start = [], None
        while True:
            place = {"from": start} if start else {}
            page = self.call("GET", f"rooms/{room.path}/messages", params={"dir": "b", "limit": 500} | place)
            found += page["chunk"]
            start = page.get("end")
            if start is None:
                return [event for event in reversed(found) if event["type"] == kind]

    def ephemeral(self, room, kind):
        """What the room's receipts or typing are now."""
        found = self.call("GET", "sync", params={"timeout": 0})["rooms"]["join"][room.id]["ephemeral"]["events"]
        return next((event["content"] for event in found if event["type"] == kind), {})


class Room:
    def __init__(self, identifier):
        self.id = identifier
        self.path = quote(identifier, safe="")


class Gateway:
    """Between a hub and a homeserver. It passes everything on, and loses what it is told to."""

    def __init__(self, target):
        self.target = target
        self.local = threading.local()
        self.loses = lambda call: False
        self.server = PlatformServer(self.answer)

    @property
    def url(self):
        return self.server.url

    def answer(self, call):
        if not hasattr(self.local, "session"):
            self.local.session = session()
        query = f"?{urlencode(call.query)}" if call.query else ""
        headers = {name: call.headers[name] for name in ("authorization", "content-type") if name in call.headers}
        loses = self.loses(call)
        try:
            response = self.local.session.request(
                call.method, self.target + call.path + query, data=call.body, headers=headers, timeout=60
            )
        except requests.ConnectionError:
            return CUT
        # The homeserver has done it: only nobody is told. A poll waits from before on, so it is looked at again.
        if loses or self.loses(call):
            return HANG
        return response.status_code, response.content, {"Content-Type": response.headers["Content-Type"]}

    def calls(self, ending, client):
        """What was asked for with a user's token."""
        wanted = f"Bearer {client.token}"
        return [call for call in self.server.named(ending) if call.headers.get("authorization") == wanted]

    def wait_polled(self, client):
        """Until a poll waits for what comes from now on."""
        wait_until(lambda: any("since" in call.query for call in self.calls("/sync", client)), 20, "a poll")
