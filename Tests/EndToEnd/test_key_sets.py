"""Platforms that sign tokens with keys of their own: the hub fetches the keys, and keeps to its rate."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from hub import unique

CONFIGURATION = "https://login.botframework.com/v1/.well-known/openidconfiguration"
KEYS = "https://login.botframework.com/v1/.well-known/keys"
SERVICE = "https://smba.trafficmanager.net/teams/"


class Publisher:
    """Publishes an OpenID configuration and the key set that it names."""

    def __init__(self):
        self.keys, self.requests = {}, []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.requests.append(self.path)
                body = json.dumps({"jwks_uri": KEYS} if self.path == "/configuration" else publisher.set()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def make(self, name):
        self.keys[name] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self.keys[name]

    def set(self):
        keys = []
        for name, key in self.keys.items():
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            keys.append(public | {"kid": name, "use": "sig", "endorsements": ["msteams"]})
        return {"keys": keys}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def publisher():
    publisher = Publisher()
    yield publisher
    publisher.close()


def bearer(key, name, app, **changes):
    now = int(time.time())
    claims = {"iss": "https://api.botframework.com", "aud": app, "serviceurl": SERVICE, "nbf": now, "exp": now + 3600}
    return "Bearer " + jwt.encode(claims | changes, key, algorithm="RS256", headers={"kid": name})


def deliver(hub, account, authorization, number=1):
    activity = {
        "type": "message", "id": str(1795219190000 + number), "timestamp": "2026-11-20T23:59:55.123Z",
        "serviceUrl": SERVICE, "channelId": "msteams", "from": {"id": "29:1", "name": "Megan"},
        "recipient": {"id": "28:bot"}, "conversation": {"conversationType": "personal", "id": "a:1"}, "text": f"m{number}",
    }
    path = f"/webhooks/teams/{account['accountKey']}"
    return requests.post(hub.url + path, json=activity, headers={"Authorization": authorization}, timeout=15).status_code


def test_a_token_is_checked_against_keys_that_the_hub_fetches(own_hub, publisher):
    mirrors = f"{CONFIGURATION}={publisher.url}/configuration,{KEYS}={publisher.url}/keys"
    hub = own_hub("keys", KEY_SET_MIRRORS=mirrors)
    user, app = hub.user(), unique("app")
    body = {"platform": "teams", "name": "Bot", "credentials": {"appId": app}}
    account = user.post("/api/accounts", body, expect=201)
    first = publisher.make("one")

    assert deliver(hub, account, bearer(first, "one", app)) == 200
    assert deliver(hub, account, bearer(first, "one", app), number=2) == 200
    assert publisher.requests == ["/configuration", "/keys"]
    conversation = user.conversations()[0]["id"]
    assert sorted(message["text"] for message in user.messages(conversation)) == ["m1", "m2"]

    # Strangers name keys of their own as often as they like.
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert {deliver(hub, account, bearer(stranger, f"x{number}", app)) for number in range(20)} == {401}
    assert deliver(hub, account, bearer(stranger, "one", app)) == 401
    assert deliver(hub, account, bearer(first, "one", "another")) == 401
    assert publisher.requests == ["/configuration", "/keys"]
    assert len(user.messages(conversation)) == 2


def test_keys_that_cannot_be_had_make_the_platform_come_again(own_hub, publisher):
    hub = own_hub("nokeys", KEY_SET_MIRRORS=f"{CONFIGURATION}=http://127.0.0.1:9/none")
    user, app = hub.user(), unique("app")
    body = {"platform": "teams", "name": "Bot", "credentials": {"appId": app}}
    account = user.post("/api/accounts", body, expect=201)
    assert deliver(hub, account, bearer(publisher.make("one"), "one", app)) == 503
    assert user.conversations() == []
