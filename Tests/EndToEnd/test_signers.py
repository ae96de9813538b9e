"""The platforms' own libraries, and the usual ones, sign at the present time and post to a running hub.

All of it is accepted. With one byte changed, in the body where it is signed, else in the token, none is.
"""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import google.auth.crypt
import google.auth.jwt
import jwt
import nacl.signing
import pytest
import standardwebhooks.webhooks
import svix.webhooks
import wechatpy.crypto
import wechatpy.utils
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

from catalogue import NAMES, samples
from hub import Hub, unique
from publisher import DocumentServer

BOT_CONFIGURATION = "https://login.botframework.com/v1/.well-known/openidconfiguration"
CHAT_KEYS = "https://www.googleapis.com/service_accounts/v1/metadata/x509/chat@system.gserviceaccount.com"
GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v1/certs"
JSON_TYPE = {"Content-Type": "application/json"}
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = RSA_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@dataclass
class Signed:
    body: bytes
    headers: dict
    query: dict = field(default_factory=dict)


@dataclass
class Signer:
    """How a platform's account is connected, and how a delivery to its address is signed."""

    platform: str
    credentials: dict
    sign: callable
    # What the signature covers: the body, a header, or a query parameter.
    covered: str = "body"


def certificate():
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA_KEY.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(RSA_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def published():
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key()))
    key |= {"kid": "key-1", "use": "sig", "endorsements": ["msteams"]}
    return {"/keys": {"keys": [key]}, "/certificates": {"key-1": certificate()}}


@pytest.fixture(scope="module")
def hub():
    server = DocumentServer(published())
    mirrors = {BOT_CONFIGURATION: "/keys", CHAT_KEYS: "/certificates", GOOGLE_KEYS: "/certificates"}
    addresses = ",".join(f"{url}={server.url}{path}" for url, path in mirrors.items())
    hub = Hub("signers", KEY_SET_MIRRORS=addresses)
    try:
        yield hub.start()
    finally:
        hub.close()
        server.close()


# One a library.


def sample_body(platform, name):
    return json.dumps(samples(platform)[name]["request"]["body"]).encode()


def slack(name, body, headers):
    secret = secrets.token_hex(16)

    def sign(url):
        stamp = str(int(time.time()))
        signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
        return Signed(body, headers | {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature})

    return pytest.param(Signer("slack", {"signingSecret": secret}, sign), id=f"slack_sdk-{name}")


SMS = {
    "MessageSid": "SM1f0e8ae6", "SmsMessageSid": "SM1f0e8ae6", "AccountSid": "AC00", "From": "+15551230001",
    "To": "+15551230002", "Body": "Hi & bye = ü 🚀 ", "NumMedia": "0", "SmsStatus": "received",
}


def twilio_form(is_pinned):
    secret = secrets.token_hex(16)
    settings = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    credentials = {"sharedKey": secret, "sharedKeyId": "webhooks_sharedkey_1"} if is_pinned else {"authToken": secret}

    def sign(url):
        signature = RequestValidator(secret).compute_signature(url, SMS, "HMAC_SHA256" if is_pinned else None)
        headers = {"X-Twilio-Signature": signature} | FORM_TYPE
        if is_pinned:
            headers["X-Twilio-Webhooks-Signature-Settings"] = settings
        return Signed(urlencode(SMS).encode(), headers)

    return pytest.param(Signer("twilio", credentials, sign), id="twilio-shared-key" if is_pinned else "twilio-form")


def twilio_json():
    secret = secrets.token_hex(16)
    body = json.dumps({"ConversationSid": "CH1", "MessageSid": "IM1", "EventType": "onMessageAdded", "Body": "hé"})

    def sign(url):
        validator = RequestValidator(secret)
        query = {"bodySHA256": validator.compute_hash(body)}
        signature = validator.compute_signature(f"{url}?{urlencode(query)}", {})
        return Signed(body.encode(), JSON_TYPE | {"X-Twilio-Signature": signature}, query)

    return pytest.param(Signer("twilio", {"authToken": secret}, sign), id="twilio-json")


def standard(library):
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    body = sample_body("custom", "text")

    def sign(url):
        identifier, now = unique("msg"), datetime.now(timezone.utc)
        signature = library.Webhook(secret).sign(identifier, now, body.decode())
        stamp = str(int(now.timestamp()))
        return Signed(body, JSON_TYPE | {
            "webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": signature,
        })

    return pytest.param(Signer("custom", {"webhookSecret": secret}, sign), id=library.__name__.split(".")[0])


def ed25519_standard():
    key = nacl.signing.SigningKey.generate()
    body = sample_body("custom", "text")

    def sign(url):
        identifier, stamp = unique("msg"), str(int(time.time()))
        signature = key.sign(f"{identifier}.{stamp}.".encode() + body).signature
        return Signed(body, JSON_TYPE | {
            "webhook-id": identifier, "webhook-timestamp": stamp,
            "webhook-signature": "v1a," + base64.b64encode(signature).decode(),
        })

    public = "whpk_" + base64.b64encode(bytes(key.verify_key)).decode()
    return pytest.param(Signer("custom", {"webhookSecret": public}, sign), id="pynacl-custom")


def discord():
    key = nacl.signing.SigningKey.generate()
    body = sample_body("discord", "button")

    def sign(url):
        stamp = str(int(time.time()))
        signature = key.sign(stamp.encode() + body).signature.hex()
        return Signed(body, JSON_TYPE | {"X-Signature-Timestamp": stamp, "X-Signature-Ed25519": signature})

    return pytest.param(Signer("discord", {"publicKey": bytes(key.verify_key).hex()}, sign), id="pynacl-discord")


def teams():
    app = unique("app")
    body = sample_body("teams", "text")

    def sign(url):
        now = int(time.time())
        claims = {
            "iss": "https://api.botframework.com", "aud": app, "nbf": now, "exp": now + 3600,
            "serviceurl": json.loads(body)["serviceUrl"],
        }
        token = jwt.encode(claims, PEM, algorithm="RS256", headers={"kid": "key-1"})
        return Signed(body, JSON_TYPE | {"Authorization": f"Bearer {token}"})

    return pytest.param(Signer("teams", {"appId": app}, sign, covered="Authorization"), id="pyjwt-teams")


def google_chat(is_project):
    audience = "1234567890" if is_project else "https://app.example.com/chat"
    body = sample_body("google-chat", "text")
    signer = google.auth.crypt.RSASigner.from_string(PEM, "key-1")

    def sign(url):
        now = int(time.time())
        claims = {"aud": audience, "iat": now, "exp": now + 3600}
        if is_project:
            claims["iss"] = "chat@system.gserviceaccount.com"
        else:
            claims |= {
                "iss": "https://accounts.google.com", "email": "chat@system.gserviceaccount.com",
                "email_verified": True,
            }
        token = google.auth.jwt.encode(signer, claims).decode()
        return Signed(body, JSON_TYPE | {"Authorization": f"Bearer {token}"})

    kind = "project" if is_project else "url"
    return pytest.param(
        Signer("google-chat", {"audience": audience}, sign, covered="Authorization"), id=f"google-auth-{kind}")


WECHAT = """<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[o1]]></FromUserName>
<CreateTime>{now}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content>
<MsgId>1234567890123456789</MsgId></xml>"""


def wechat_plain():
    token = secrets.token_hex(8)

    def sign(url):
        now, nonce = str(int(time.time())), secrets.token_hex(4)
        signer = wechatpy.utils.WeChatSigner()
        signer.add_data(token, now, nonce)
        query = {"signature": signer.signature, "timestamp": now, "nonce": nonce}
        return Signed(WECHAT.format(now=now).encode(), {"Content-Type": "text/xml"}, query)

    return pytest.param(Signer("wechat", {"token": token}, sign, covered="signature"), id="wechatpy-plain")


def wechat_safe():
    token, key = secrets.token_hex(8), secrets.token_hex(21) + "0"

    def sign(url):
        now, nonce = str(int(time.time())), secrets.token_hex(4)
        body = wechatpy.crypto.WeChatCrypto(token, key, "wx1").encrypt_message(WECHAT.format(now=now), nonce, now)
        signature = body.split("<MsgSignature><![CDATA[")[1].split("]]>")[0]
        query = {"timestamp": now, "nonce": nonce, "msg_signature": signature, "encrypt_type": "aes"}
        return Signed(body.encode(), {"Content-Type": "text/xml"}, query)

    credentials = {"token": token, "encodingAESKey": key, "appId": "wx1"}
    return pytest.param(Signer("wechat", credentials, sign, covered="msg_signature"), id="wechatpy-safe")


def with_body_hash(platform, header, prefix, credential, claims):
    """A token of a shared secret that names the hash of the body."""
    secret = secrets.token_hex(16)
    body = json.dumps({"message_uuid": unique("m"), "message": {"id": "1"}}).encode()

    def sign(url):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(body)
        token = jwt.encode(claims(url) | {"payload_hash": digest.finalize().hex()}, secret, algorithm="HS256")
        return Signed(body, JSON_TYPE | {header: prefix + token})

    return pytest.param(Signer(platform, {credential: secret}, sign), id=f"pyjwt-{platform}")


def vonage(url):
    return {"iss": "Vonage", "iat": int(time.time()), "jti": unique("id")}


def messagebird(url):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(url.encode())
    now = int(time.time())
    return {"iss": "MessageBird", "nbf": now, "exp": now + 60, "jti": unique("id"), "url_hash": digest.finalize().hex()}


def sendgrid():
    key = ec.generate_private_key(ec.SECP256R1())
    body = json.dumps([{"event": "delivered", "sg_event_id": "e1", "sg_message_id": "m1", "timestamp": 1}]).encode()

    def sign(url):
        stamp = str(int(time.time()))
        signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        return Signed(body, JSON_TYPE | {
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp, "X-Twilio-Email-Event-Webhook-Signature": signature,
        })

    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    credentials = {"publicKey": base64.b64encode(public).decode()}
    return pytest.param(Signer("sendgrid", credentials, sign), id="cryptography-sendgrid")


INTERACTION = {"payload": json.dumps({"type": "block_actions", "user": {"id": "U1"}, "actions": []})}
SIGNERS = [
    slack("events", sample_body("slack", "text"), JSON_TYPE),
    slack("form", urlencode(INTERACTION).encode(), FORM_TYPE),
    twilio_form(is_pinned=False), twilio_form(is_pinned=True), twilio_json(),
    standard(standardwebhooks.webhooks), standard(svix.webhooks), ed25519_standard(),
    discord(), teams(), google_chat(is_project=True), google_chat(is_project=False),
    wechat_plain(), wechat_safe(), sendgrid(),
    with_body_hash("vonage", "Authorization", "Bearer ", "signatureSecret", vonage),
    with_body_hash("messagebird", "MessageBird-Signature-JWT", "", "signingKey", messagebird),
]
OURS = [one for one in SIGNERS if one.values[0].platform in NAMES]


# What one byte does.


def other(byte):
    """Another byte of the same kind, so that the request stays one; not of another case, which %2B does not have."""
    character = chr(byte)
    if character.isdigit():
        return ord("1" if character != "1" else "2")
    if character.isalpha() and byte < 128:
        return ord("b" if character.lower() != "b" else "c")
    return byte ^ 1


def changed(signed, covered):
    """The request with one byte changed, at places all over what is covered."""

    def spread(data, count=16):
        for place in range(0, len(data), max(1, len(data) // count)):
            yield data[:place] + bytes([other(data[place])]) + data[place + 1:]

    if covered == "body":
        for body in spread(signed.body):
            yield replace(signed, body=body)
    elif covered in signed.headers:
        # The last digit of base64 has bits that mean nothing.
        kept, value = signed.headers[covered][:7], signed.headers[covered][7:-1].encode()
        end = signed.headers[covered][-1]
        for text in spread(value):
            yield replace(signed, headers=signed.headers | {covered: kept + text.decode() + end})
    else:
        for text in spread(signed.query[covered].encode()):
            yield replace(signed, query=signed.query | {covered: text.decode()})


def post(hub, account, signed):
    path = f"/webhooks/{account['platform']}/{account['accountKey']}"
    path += f"?{urlencode(signed.query)}" if signed.query else ""
    return hub.session.post(hub.url + path, data=signed.body, headers=signed.headers, timeout=15)


@pytest.mark.parametrize("signer", OURS)
def test_what_a_library_signs_is_accepted_and_nothing_like_it(hub, signer):
    body = {"platform": signer.platform, "name": unique("signer"), "credentials": signer.credentials}
    account = hub.user().post("/api/accounts", body, expect=201)
    answer = post(hub, account, signer.sign(account["webhookUrl"]))
    assert 200 <= answer.status_code <= 299, answer.text

    signed = signer.sign(account["webhookUrl"])
    spoiled = list(changed(signed, signer.covered))
    assert len(spoiled) >= 16
    refused = [post(hub, account, one).status_code for one in spoiled]
    assert set(refused) <= {401, 403}, refused
    with hub.database() as database:
        kept = database.execute("SELECT count(*) FROM deliveries WHERE account_id = %s", (account["id"],)).fetchone()
    assert kept == (1,)
