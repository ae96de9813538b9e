"""Chats of Microsoft Teams by Graph: https://learn.microsoft.com/graph/api/chat-post-messages.

The library has a schema of all of Graph and is too large to judge here: a schema of what is posted stands in.
"""

import base64
import hashlib
import hmac
import html
import json
import os
import re
import secrets
import time
from datetime import datetime, timezone
from urllib.parse import unquote

import jwt
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as asymmetric
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from contracts.base import ANY, Contract, Limit, Made, STRING, array, compact, obj, one_of, string

APP = "8e460676-ae3f-4b1e-8790-ee0fb5d6148f"
TENANT = "84bd8158-6d4d-4958-8b9f-9d6445542f95"
ME = "11111111-2222-4333-8444-555555555555"
ANA = "99999999-2222-4333-8444-555555555555"
CHAT = "19:meeting_ZjQ1@thread.v2"
TEAM = "fbe2bf47-16c8-47cf-b4a5-4b9b187c508b"
CHANNEL = "19:4a95f7d8db4c4e7fae857bcebe0623e6@thread.tacv2"
PUBLISHER = "0bf30f3b-4a52-48df-9a82-234910c4a086"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
BODY = obj({"content": STRING}, contentType=one_of("text", "html"))
HOSTED = obj(
    {
        "@microsoft.graph.temporaryId": string(),
        "contentBytes": string(pattern=r"^[A-Za-z0-9+/]+={0,2}$"),
        "contentType": string(pattern=r"^image/(png|jpeg|jpg|gif)$"),
    }
)
ATTACHMENT = obj(
    {"id": STRING, "contentType": STRING}, content=STRING, contentUrl=STRING, name=STRING, thumbnailUrl=ANY
)
MESSAGE = obj(
    {"body": BODY},
    attachments=array(ATTACHMENT),
    hostedContents=array(HOSTED),
    mentions=array(ANY),
    importance=one_of("normal", "high", "urgent"),
    subject=STRING,
)


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def resource_of(message):
    channel = message["channelIdentity"]
    if not channel:
        return f"chats('{message['chatId']}')/messages('{message['id']}')"
    place = f"teams('{channel['teamId']}')/channels('{channel['channelId']}')"
    root = message["replyToId"]
    last = f"messages('{root}')/replies('{message['id']}')" if root else f"messages('{message['id']}')"
    return f"{place}/{last}"


def notification(message, state):
    """A change notification with its content, sealed for the account's key, and signed."""
    key = os.urandom(32)
    padder = padding.PKCS7(128).padder()
    padded = padder.update(compact(message)) + padder.finalize()
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    data = cipher.update(padded) + cipher.finalize()
    seal = asymmetric.OAEP(asymmetric.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    resource = resource_of(message)
    seconds = int(time.time())
    claims = {
        "aud": APP,
        "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "tid": TENANT,
        "azp": PUBLISHER,
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + 3600,
    }
    one = {
        "subscriptionId": "f37536ac-b308-4bc7-b239-b2b51cd2ff24",
        "subscriptionExpirationDateTime": now(),
        "changeType": "created",
        "clientState": state,
        "resource": resource,
        "resourceData": {
            "id": message["id"],
            "@odata.type": "#Microsoft.Graph.chatMessage",
            "@odata.id": resource,
        },
        "tenantId": TENANT,
        "encryptedContent": {
            "data": base64.b64encode(data).decode(),
            "dataSignature": base64.b64encode(hmac.new(key, data, hashlib.sha256).digest()).decode(),
            "dataKey": base64.b64encode(KEY.public_key().encrypt(key, seal)).decode(),
            "encryptionCertificateId": "hub-cert-1",
            "encryptionCertificateThumbprint": "07293748CC064953A3052FB978C735FB89E61C3D",
        },
    }
    return {"value": [one], "validationTokens": [jwt.encode(claims, PEM, algorithm="RS256")]}


class TeamsGraph(Contract):
    platform = "teams-graph"
    files = "upload"
    has_tokens = True
    has_echo = True
    has_receipts = True
    place = CHAT

    def __init__(self):
        super().__init__()
        self.last = int(time.time() * 1000)
        self.inbound_id = str(self.last)
        self.state = secrets.token_hex(16)
        self.password = secrets.token_urlsafe(24)
        self.refresh = f"0.AX-{secrets.token_urlsafe(32)}"
        self.token = None

    def webhook_credentials(self):
        return {
            "clientState": self.state,
            "appId": APP,
            "tenantId": TENANT,
            "userId": ME,
            "privateKey": PEM,
            "testKey": PEM,
        }

    def sending_credentials(self):
        return {
            "appPassword": self.password,
            "refreshToken": self.refresh,
            "apiURL": self.url,
            "loginURL": self.url,
        }

    # Notifications.

    def notification(self, message):
        return {"Content-Type": "application/json; charset=utf-8"}, compact(notification(message, self.state))

    def message(self, identifier, user, name, body, **more):
        at = now()
        return {
            "id": identifier,
            "replyToId": None,
            "etag": identifier,
            "messageType": "message",
            "createdDateTime": at,
            "lastModifiedDateTime": at,
            "lastEditedDateTime": None,
            "deletedDateTime": None,
            "subject": None,
            "importance": "normal",
            "locale": "en-us",
            "chatId": CHAT,
            "channelIdentity": None,
            "from": {
                "application": None,
                "device": None,
                "user": {"id": user, "displayName": name, "userIdentityType": "aadUser"},
            },
            "body": body,
            "attachments": [],
            "mentions": [],
            "reactions": [],
        } | more

    def inbound(self, account):
        body = {"contentType": "text", "content": "hello"}
        return self.notification(self.message(self.inbound_id, ANA, "Ana", body))

    def echo(self, account, made):
        return self.notification(self.message(made.id, ME, "Me", made.call.json["body"]))

    # Answers.

    @staticmethod
    def error(status, code, words, headers=None):
        inner = {
            "date": now(),
            "request-id": secrets.token_hex(16),
            "client-request-id": secrets.token_hex(16),
        }
        return status, {"error": {"code": code, "message": words, "innerError": inner}}, headers or {}

    def limits(self):
        """https://learn.microsoft.com/graph/throttling: Retry-After, which not every service has."""
        words = "Please retry after"
        return {
            "header": Limit(self.error(429, "TooManyRequests", words, {"Retry-After": "2"}), 2),
            "bare": Limit(self.error(429, "UnknownError", ""), 0.5, most=15),
            "conflict": Limit(
                self.error(409, "Conflict", "Failed to execute backend request."), 0.5, most=15
            ),
        }

    def refusal(self):
        words = "Message size is too large"
        return self.error(413, "RequestEntityTooLarge", words), words

    def broken(self):
        return self.error(500, "InternalServerError", "Failed to execute backend request.")

    def unauthorised(self):
        return self.error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")

    def invalid(self, words):
        return self.error(400, "BadRequest", str(words))

    def route(self, call):
        if call.path == f"/{TENANT}/oauth2/v2.0/token":
            return self.renew(call)
        given = call.headers.get("authorization")
        self.refuse_if(self.is_revoked, self.unauthorised())
        self.refuse_if(self.is_expired and given != f"Bearer {self.token}", self.unauthorised())
        self.require(given == f"Bearer {self.token}", self.unauthorised(), f"Authorization {given}")
        path = unquote(call.path)
        chat = f"/v1.0/chats/{CHAT}"
        if (call.method, path) == ("POST", f"{chat}/messages"):
            return self.send(call)
        if (call.method, path) == ("POST", f"{chat}/markChatReadForUser"):
            self.checked(
                call, obj({"user": obj({"id": one_of(ME), "tenantId": one_of(TENANT)})}), self.invalid
            )
            self.seen.append(self.inbound_id)
            return 204, b""
        deletion = re.fullmatch(re.escape(f"/v1.0/me/chats/{CHAT}/messages/") + r"(\d+)/softDelete", path)
        if call.method == "POST" and deletion:
            self.require(not call.body, self.invalid("body"), call.body)
            self.deleted.append(deletion[1])
            return 204, b""
        change = re.fullmatch(re.escape(f"{chat}/messages/") + r"(\d+)(/setReaction|/unsetReaction|)", path)
        self.require(change, self.error(404, "NotFound", "Resource not found"), f"{call.method} {path}")
        if change[2]:
            self.require(call.method == "POST", self.error(405, "MethodNotAllowed", ""), call.method)
            body = self.checked(call, obj({"reactionType": STRING}), self.invalid)
            self.reactions.append((change[1], body["reactionType"], change[2] == "/setReaction"))
            return 204, b""
        self.require(call.method == "PATCH", self.error(405, "MethodNotAllowed", ""), call.method)
        body = self.checked(call, obj({"body": BODY}), self.invalid)["body"]
        self.edits.append((change[1], self.plain(body)))
        return 204, b""

    def renew(self, call):
        words = "AADSTS70008: The provided authorization code or refresh token has expired due to inactivity."
        wrong = (400, {"error": "invalid_grant", "error_description": words, "error_codes": [70008]})
        self.refuse_if(self.is_revoked, wrong)
        form = dict(call.form)
        scope = form.pop("scope", "").split()
        self.require("https://graph.microsoft.com/.default" in scope, wrong, f"scope {scope}")
        wanted = {
            "client_id": APP,
            "client_secret": self.password,
            "grant_type": "refresh_token",
            "refresh_token": self.refresh,
        }
        self.require(form == wanted, wrong, form)
        self.step(call)
        self.renewals += 1
        self.refresh = f"0.AX-{secrets.token_urlsafe(32)}"
        self.token = f"eyJ-{self.renewals}-{secrets.token_urlsafe(16)}"
        return 200, {
            "token_type": "Bearer",
            "scope": "Chat.ReadWrite ChatMessage.Send",
            "expires_in": 3599,
            "ext_expires_in": 3599,
            "access_token": self.token,
            "refresh_token": self.refresh,
        }

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True

    def send(self, call):
        given = self.checked(call, MESSAGE, self.invalid)
        body = given["body"]
        content = body["content"]
        attachments = given.get("attachments", [])
        hosted = given.get("hostedContents", [])
        is_html = body.get("contentType", "text") == "html"
        self.require(is_html or not (attachments or hosted), self.invalid("contentType"), "files in a text")
        # What is attached and hosted has its place in the text, and the other way round.
        places = re.findall(r'<attachment id="([^"]+)"></attachment>', content) if is_html else []
        self.require(places == [one["id"] for one in attachments], self.invalid("attachments"), content)
        sources = re.findall(r'src="\.\./hostedContents/([^/"]+)/\$value"', content) if is_html else []
        wanted = [one["@microsoft.graph.temporaryId"] for one in hosted]
        self.require(sources == wanted, self.invalid("hostedContents"), content)
        reply = None
        for one in attachments:
            self.require(one["contentType"] == "messageReference", self.invalid("attachments"), one)
            reply = json.loads(one["content"])["messageId"]
            self.require(reply == one["id"] == self.inbound_id, self.invalid("messageReference"), one)
        files = [(None, base64.b64decode(one["contentBytes"])) for one in hosted]

        def make(number):
            self.last = max(self.last + 1, int(time.time() * 1000))
            made = Made(str(self.last), CHAT, self.plain(body) or None, reply, files)
            return made, (201, self.message(made.id, ME, "Me", body))

        return self.create(call, make)

    @staticmethod
    def plain(body):
        """What a person sees of it."""
        if body.get("contentType", "text") == "text":
            return body["content"]
        text = re.sub(r"<attachment [^>]*></attachment>|<img [^>]*>", "", body["content"])
        return html.unescape(re.sub(r"<br\s*/?>", "\n", text))


class TeamsGraphChannel(TeamsGraph):
    """A channel. The message that came is an answer in a thread: what answers it goes into the same one."""

    only = frozenset({"text", "reply", "own_answer", "attachment", "refused", "swallowed", "echoed"})
    has_threads = True
    place = CHANNEL

    def __init__(self):
        super().__init__()
        self.root = str(self.last - 60_000)

    def message(self, identifier, user, name, body, **more):
        identity = {"teamId": TEAM, "channelId": CHANNEL}
        return super().message(identifier, user, name, body, chatId=None, channelIdentity=identity, **more)

    def inbound(self, account):
        body = {"contentType": "text", "content": "hello"}
        return self.notification(self.message(self.inbound_id, ANA, "Ana", body, replyToId=self.root))

    def echo(self, account, made):
        body = made.call.json["body"]
        return self.notification(self.message(made.id, ME, "Me", body, replyToId=made.reply))

    @property
    def quoted_id(self):
        return self.root

    def route(self, call):
        if call.path == f"/{TENANT}/oauth2/v2.0/token":
            return self.renew(call)
        given = call.headers.get("authorization")
        self.require(given == f"Bearer {self.token}", self.unauthorised(), f"Authorization {given}")
        # https://learn.microsoft.com/graph/api/chatmessage-post-replies: of the thread's first message only.
        place = f"/v1.0/teams/{TEAM}/channels/{CHANNEL}/messages"
        path = unquote(call.path)
        threads = {place: None, f"{place}/{self.root}/replies": self.root}
        # https://learn.microsoft.com/graph/api/chatmessage-update and .../chatmessage-softdelete: of answers by both.
        change = re.fullmatch(re.escape(f"{place}/{self.root}/replies/") + r"(\d+)(/softDelete|)", path)
        if change and change[1] in {made.id for made in self.made if made.reply}:
            self.require(call.method == ("POST" if change[2] else "PATCH"), self.invalid("method"), call.method)
            if change[2]:
                self.deleted.append(change[1])
            else:
                body = self.checked(call, obj({"body": BODY}), self.invalid)["body"]
                self.edits.append((change[1], self.plain(body)))
            return 204, b""
        known = call.method == "POST" and path in threads
        self.require(known, self.error(404, "NotFound", "Resource not found"), f"{call.method} {path}")
        self.thread = threads[path]
        return self.send(call)

    def create(self, call, make, key=None, repeated=None):
        def threaded(number):
            made, answer = make(number)
            made.place, made.reply = CHANNEL, self.thread
            return made, answer

        return super().create(call, threaded, key, repeated)
