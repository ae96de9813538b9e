"""Requests that the platforms' own libraries signed and judged, through the public interface of a running hub.

Each is to be judged at one moment, so the hub's clock stands there. A request is sent as it is, byte by byte, but
for its path: the hub chooses its accounts' addresses. Where the path is part of what is signed, the signature is
made anew for the account's address, by the rule that is first shown to give the vector's own signature for the
vector's own address.
"""

import base64
import hashlib
import hmac
import http.client
import json
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from twilio.request_validator import RequestValidator

from catalogue import NAMES, stopped_hub
from hub import ROOT, unique
from publisher import DocumentServer

VECTORS = json.loads((ROOT / "Tests/PlatformsTests/Fixtures/webhook-vectors.json").read_text())
CLOCK = 1_795_219_200
PUBLIC_URL = "https://hub.example.com"
BOT_CONFIGURATION = "https://login.botframework.com/v1/.well-known/openidconfiguration"
GRAPH_KEYS = "https://login.microsoftonline.com/common/discovery/v2.0/keys"

# Names that the vectors and the catalogue do not share.
PLATFORMS = {"standard-webhooks": "custom"}

# Answered at once, and nothing is stored.
HANDSHAKES = {
    "whatsapp-07", "messenger-06", "instagram-05", "slack-09", "discord-07", "discord-08", "x-01", "linkedin-01",
    "graph-01", "wechat-01", "matrix-05",
}


def platform(vector):
    return PLATFORMS.get(vector["platform"], vector["platform"])


JUDGED = [vector for vector in VECTORS if platform(vector) in NAMES]


def credentials(vector):
    """The vector's secret under the names that an account has for it."""
    secret = vector["secret"]
    if isinstance(secret, str):
        name = {
            "telegram": "webhookSecret", "standard-webhooks": "webhookSecret", "mastodon": "webhookSecret",
            "whatsapp": "appSecret", "messenger": "appSecret", "instagram": "appSecret", "slack": "signingSecret",
            "x": "consumerSecret", "linkedin": "clientSecret", "intercom": "clientSecret", "line": "channelSecret",
            "viber": "authToken", "twilio": "authToken", "teams-outgoing-webhook": "securityToken",
            "matrix": "hsToken", "mattermost": "token", "rocketchat": "token", "zulip": "token",
            "messagebird": "signingKey", "bird": "signingKey", "vonage": "signatureSecret", "mailgun": "signingKey",
        }[vector["platform"]]
        return {name: secret}
    names = {
        "verify_token": "verifyToken", "public_key_hex": "publicKey", "shared_key": "sharedKey",
        "shared_key_id": "sharedKeyId", "app_id": "appId", "oa_secret": "oaSecret", "audience": "audience",
        "token": "token", "encoding_aes_key": "encodingAESKey", "signature_secret": "signatureSecret",
        "method": "signatureMethod", "public_key": "webhookSecret", "client_state": "clientState",
        "user": "username", "password": "password", "public_key_base64_spki": "publicKey",
        "encryption_private_key_pkcs8_base64": "encryptionKey", "encryption_certificate_id": "certificateId",
    }
    values = {names[name]: value for name, value in secret.items() if name in names}
    if "verify_token" in secret:
        values["appSecret"] = "unused"
    return values


def documents():
    """What the platforms publish, by the path on this machine; and by their own address that path."""
    keys, found, mirrors = [], {}, {}
    for vector in JUDGED:
        secret = vector["secret"] if isinstance(vector["secret"], dict) else {}
        if "jwks" in secret:
            keys += [key for key in secret["jwks"]["keys"] if key not in keys]
        if "certs_url" in secret:
            path = f"/certificates/{len(mirrors)}"
            mirrors.setdefault(secret["certs_url"], path)
            found.setdefault(mirrors[secret["certs_url"]], {}).update(secret["x509_certs"])
    found["/keys"] = {"keys": keys}
    mirrors[BOT_CONFIGURATION] = mirrors[GRAPH_KEYS] = "/keys"
    return found, mirrors


@pytest.fixture(scope="module")
def hub():
    found, mirrors = documents()
    server = DocumentServer(found)
    addresses = ",".join(f"{url}={server.url}{path}" for url, path in mirrors.items())
    with stopped_hub("vectors", CLOCK, PUBLIC_URL=PUBLIC_URL, KEY_SET_MIRRORS=addresses) as hub:
        yield hub
    server.close()


# Where the address is signed.


def as_signed(vector, names):
    """The valid vector with the same signature: what an invalid one was before somebody changed it."""
    for other in VECTORS:
        same = other["platform"] == vector["platform"] and other["expect"] == "valid"
        if same and all(other["headers"].get(name) == vector["headers"][name] for name in names):
            return other
    raise AssertionError(f"{vector['id']} has a signature of its own")


def twilio(vector, url):
    """What is signed: the address, and of a form each name with its value, in the names' order."""
    parameters = {}
    if vector["headers"].get("Content-Type") == "application/x-www-form-urlencoded":
        parameters = dict(parse_qsl(vector["body"], keep_blank_values=True))
    secret = vector["secret"]
    if isinstance(secret, str):
        return RequestValidator(secret).compute_signature(url, parameters)
    return RequestValidator(secret["shared_key"]).compute_signature(url, parameters, "HMAC_SHA256")


def bird(vector, url):
    stamp = vector["headers"]["messagebird-request-timestamp"]
    text = f"{stamp}\n{url}\n".encode() + hashlib.sha256(vector["body"].encode()).digest()
    return base64.b64encode(hmac.digest(vector["secret"].encode(), text, "sha256")).decode()


def messagebird(vector, url):
    """The same claims, in the same order, with the hash of another address."""
    token = vector["headers"]["MessageBird-Signature-JWT"]
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["url_hash"] = hashlib.sha256(url.encode()).hexdigest()
    return jwt.encode(claims, vector["secret"], algorithm="HS256")


MOVED = {
    "twilio": ("X-Twilio-Signature", twilio), "bird": ("messagebird-signature", bird),
    "messagebird": ("MessageBird-Signature-JWT", messagebird),
}


def is_moved(vector):
    return vector["platform"] in MOVED and MOVED[vector["platform"]][0] in vector["headers"]


def headers(vector, url):
    if not is_moved(vector):
        return vector["headers"]
    name, sign = MOVED[vector["platform"]]
    signed = as_signed(vector, [name])
    assert sign(signed, signed["url"]) == signed["headers"][name], "the rule does not give the vector's signature"
    return vector["headers"] | {name: sign(signed, url)}


# Sending.


def send(hub, account, vector):
    """The status, headers and body of the answer."""
    parts = urlsplit(vector["url"])
    subpath = parts.path[parts.path.index("/_matrix/"):] if "/_matrix/" in parts.path else ""
    target = f"/webhooks/{account['platform']}/{account['accountKey']}{subpath}"
    target += f"?{parts.query}" if parts.query else ""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=15)
    connection.putrequest(vector["method"], target, skip_accept_encoding=True)
    for name, value in headers(vector, PUBLIC_URL + target).items():
        connection.putheader(name, value)
    body = vector["body"].encode()
    if vector["method"] != "GET":
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body if vector["method"] != "GET" else None)
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


def kept(hub, account):
    with hub.database() as database:
        query = "SELECT count(*) FROM deliveries WHERE account_id = %s"
        return database.execute(query, (account["id"],)).fetchone()[0]




@pytest.mark.parametrize("vector", JUDGED, ids=lambda vector: vector["id"])
def test_a_vector_is_judged_as_expected(hub, vector):
    assert vector["now"] == CLOCK
    body = {"platform": platform(vector), "name": unique("vector"), "credentials": credentials(vector)}
    account = hub.user().post("/api/accounts", body, expect=201)
    status, fields, answer = send(hub, account, vector)
    wanted = vector.get("response") or {}
    if vector["expect"] == "valid":
        assert 200 <= status <= 299, answer
    else:
        # A platform that sees the refusal in its own console is told 403.
        assert "status" in wanted or status in (401, 403), answer
    assert status == wanted.get("status", status), answer
    if "body" in wanted:
        assert answer == wanted["body"].encode()
    if "content_type" in wanted:
        assert fields["Content-Type"].split(";")[0] == wanted["content_type"]
    is_stored = vector["expect"] == "valid" and vector["id"] not in HANDSHAKES
    assert kept(hub, account) == is_stored


def test_every_vector_of_the_catalogue_is_judged():
    """Of the vectors that sign the address none is left out: they are sent with the account's own."""
    assert len(VECTORS) == 98
    missing = {vector["platform"] for vector in VECTORS} - {vector["platform"] for vector in JUDGED}
    assert not {PLATFORMS.get(name, name) for name in missing} & set(NAMES)
    assert {vector["platform"] for vector in JUDGED if is_moved(vector)} == set(MOVED) & set(NAMES)
