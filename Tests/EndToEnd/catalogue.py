"""Every platform of the catalogue: its samples, and accounts whose deliveries the hub's own program can sign.

The samples come from the folders under Webhooks/, so that a platform is tested from the day its folder is there.
"""

import contextlib
import functools
import json
import secrets
import subprocess
from urllib.parse import urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hub import BINARY, ROOT, Hub, unique
from postgres import Cluster

FOLDER = ROOT / "Webhooks"
# What is only polled has no webhook to send samples to.
POLLED_ONLY = {"bluesky", "email", "reddit"}
NAMES = sorted(path.name for path in FOLDER.iterdir() if (path / "samples").is_dir() and path.name not in POLLED_ONLY)

# The moment at which the samples' expected results are written: what has no time of its own has this one.
SAMPLE_CLOCK = 1_795_219_200


@contextlib.contextmanager
def stopped_hub(name, clock, **environment):
    """A hub whose clock stands at one moment. Its PostgreSQL lives in the present: the server's timers need to."""
    with Cluster(name, durable=False) as cluster:
        hub = Hub(name, clock=clock, DATABASE_URL=cluster.url, RETENTION_DELIVERIES=3650, **environment)
        try:
            yield hub.start()
        finally:
            hub.close()


@functools.cache
def platforms():
    """What the program says of itself, by name."""
    listed = subprocess.run([str(BINARY), "platforms", "--json"], capture_output=True, check=True, timeout=30)
    return {platform["name"]: platform for platform in json.loads(listed.stdout)}


@functools.cache
def samples(platform):
    """By name, in the order of the names."""
    paths = sorted((FOLDER / platform / "samples").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


@functools.cache
def private_key():
    """A key by which the hub takes simulated deliveries of platforms that sign with keys of their own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


# Credentials that have a form of their own, or that would make the hub refuse what is signed without them.
FORMS = {
    "discord": lambda: {"publicKey": "a" * 64, "testKey": secrets.token_hex(32)},
    "google-chat": lambda: {"testKey": private_key()},
    "teams": lambda: {"appId": unique("app"), "testKey": private_key()},
    # Refused notifications are answered like others, as Graph wants it.
    "teams-graph": lambda: {"clientState": secrets.token_hex(16), "testKey": private_key()},
    "sendgrid": lambda: {"webhookToken": secrets.token_hex(16)},
    "teams-outgoing-webhook": lambda: {"securityToken": "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="},
    "twilio": lambda: {"authToken": secrets.token_hex(16)},
    # Its private key, by which it sends, has a form of its own.
    "vonage": lambda: {"signatureSecret": secrets.token_hex(16)},
    "wechat": lambda: {"token": secrets.token_hex(8), "encodingAESKey": "a" * 42 + "A", "appId": "wx1"},
    "zalo": lambda: {"appId": "2553928453557884079", "oaSecret": secrets.token_hex(16)},
}


def credentials(platform):
    """What an account needs to verify, and what its samples need to be read. The account's id is not among it."""
    described = platforms()[platform]
    values = {}
    if platform in FORMS:
        values = FORMS[platform]()
    else:
        for field in described["credentials"]:
            is_for_sending = "needed to send" in field["explanation"] and not field["required"]
            if field["secret"] and not field["generated"] and not is_for_sending:
                values[field["name"]] = secrets.token_hex(16)
    for sample in samples(platform).values():
        values |= sample.get("credentials", {})
    return values


def signing_field(platform):
    """The first secret of the platform, when it alone may sign: that is what `simulate --secret` is."""
    if platform in FORMS and len(FORMS[platform]()) > 1:
        return None
    field = next((one for one in platforms()[platform]["credentials"] if one["secret"]), None)
    if field is None or field["name"] == "testKey":
        return None
    return field["name"] if field["generated"] or field["name"] in credentials(platform) else None


def connect(user, platform, **more):
    """A new account of the platform, as the API shows it, with the `secrets` that it was given."""
    values = credentials(platform) | more
    account = user.post(
        "/api/accounts", {"platform": platform, "name": unique(platform), "credentials": values}, expect=201
    )
    hidden = {field["name"] for field in platforms()[platform]["credentials"] if field["secret"]}
    known = values | account.get("generatedCredentials", {})
    secrets_given = [value for name, value in known.items() if name in hidden]
    return account | {"secrets": secrets_given, "signer": known.get(signing_field(platform))}


def simulate(hub, platform, account, *names, check=True, seconds=60, **options):
    """Signs samples and sends them, as the program does it.

    Returns how many were answered with which status; None: could not be signed. An account's secret is given
    where it is enough, because the program then needs no database and is done sooner.
    """
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words = ["simulate", platform, *names, "--account", account["accountKey"], *words]
    result = None
    if "secret" not in options and account.get("signer"):
        result = hub.command(*words, "--secret", account["signer"], check=False, seconds=seconds)
    if result is None or "cannot sign" in result.stderr:
        result = hub.command(*words, check=False, seconds=seconds)
    assert not check or result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
    answers = {}
    for line in result.stdout.splitlines():
        number, *words = line.split()
        answers[int(words[-1]) if words[0] == "answered" else None] = int(number)
    return answers


def is_form(sample):
    return "form" in sample["request"]


def text_of(sample):
    """The bytes of a sample's body, as the hub's own program makes them of JSON and forms; None: another kind."""
    request = sample["request"]
    if request.get("method") == "GET":
        return None
    if "body" in request:
        return json.dumps(request["body"], ensure_ascii=False).encode()
    if "form" in request:
        form = request["form"]
        return urlencode(form if isinstance(form, dict) else [tuple(pair) for pair in form]).encode()
    return request["text"].encode() if "text" in request else None
