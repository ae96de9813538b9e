"""Discord's REST API: https://discord.com/developers/docs/resources/message and .../topics/rate-limits."""

import asyncio
import json
import secrets
import time
from datetime import datetime, timezone
from urllib.parse import unquote

import nacl.signing
from discord.http import HTTPClient, Route, handle_message_parameters

from contracts.base import (
    ANY,
    BOOLEAN,
    Contract,
    INTEGER,
    Limit,
    Made,
    STRING,
    array,
    compact,
    fault_of,
    obj,
    one_of,
    parts_of,
    string,
)

CHANNEL = "645027906669510668"
BOT = "775799577604522054"
SNOWFLAKE = string(pattern=r"^\d{17,20}$")
ALLOWED = obj(
    parse=array(one_of("roles", "users", "everyone"), least=0),
    roles=array(SNOWFLAKE, 100, 0),
    users=array(SNOWFLAKE, 100, 0),
    replied_user=BOOLEAN,
)
ATTACHMENT = obj({"id": {"type": ["integer", "string"]}}, filename=STRING, description=string(1024))
REFERENCE = obj(
    {"message_id": SNOWFLAKE},
    channel_id=SNOWFLAKE,
    guild_id=SNOWFLAKE,
    type=INTEGER,
    fail_if_not_exists=BOOLEAN,
)
CREATE = obj(
    content=string(2000),
    nonce={"type": ["integer", "string"], "maxLength": 25},
    tts=BOOLEAN,
    embeds=array(ANY, 10),
    allowed_mentions=ALLOWED,
    message_reference=REFERENCE,
    components=array(ANY),
    sticker_ids=array(SNOWFLAKE, 3),
    attachments=array(ATTACHMENT, 10),
    flags=INTEGER,
    enforce_nonce=BOOLEAN,
    poll=ANY,
)
EDIT = obj(
    content=string(2000, least=0), embeds=ANY, flags=INTEGER, allowed_mentions=ALLOWED, attachments=ANY
)


class Discord(Contract):
    platform = "discord"
    does_once = True
    has_typing = True
    files = "upload"
    has_albums = True
    place = CHANNEL
    inbound_id = "1437582083858305024"
    # Characters are Unicode's code points.
    longest = "x" * 2000

    def __init__(self):
        super().__init__()
        self.token = secrets.token_urlsafe(40)
        self.key = nacl.signing.SigningKey.generate()

    def webhook_credentials(self):
        return {"publicKey": bytes(self.key.verify_key).hex()}

    def sending_credentials(self):
        return {"botToken": self.token, "apiURL": f"{self.url}/api/v10"}

    def inbound(self, account):
        now = datetime.now(timezone.utc).isoformat()
        data = {
            "id": self.inbound_id,
            "channel_id": CHANNEL,
            "channel": {"id": CHANNEL, "type": 1},
            "content": "hello",
            "author": {
                "id": "53908232506183680",
                "username": "mason",
                "discriminator": "0",
                "global_name": "Mason",
            },
            "timestamp": now,
            "edited_timestamp": None,
            "flags": 0,
            "type": 0,
            "attachments": [],
        }
        body = compact(
            {
                "version": 1,
                "application_id": BOT,
                "type": 1,
                "event": {"type": "GAME_DIRECT_MESSAGE_CREATE", "timestamp": now, "data": data},
            }
        )
        stamp = str(int(time.time()))
        signature = self.key.sign(stamp.encode() + body).signature.hex()
        return {
            "Content-Type": "application/json",
            "X-Signature-Timestamp": stamp,
            "X-Signature-Ed25519": signature,
        }, body

    @staticmethod
    def error(status, code, words, **more):
        return status, {"message": words, "code": code} | more

    def limits(self):
        body = {"message": "You are being rate limited.", "retry_after": 1.565, "global": False}
        bucket = {
            "Retry-After": "2",
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(time.time() + 1.565),
            "X-RateLimit-Reset-After": "1.565",
            "X-RateLimit-Bucket": "abcd1234",
            "X-RateLimit-Scope": "user",
        }
        everything = {"Retry-After": "2", "X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
        return {
            "bucket": Limit((429, body, bucket), 1.565),
            "global": Limit((429, body | {"global": True}, everything), 1.565),
            # Cloudflare, in front of it.
            "edge": Limit((429, b"error code: 1015", {"Retry-After": "2", "Content-Type": "text/plain"}), 2),
        }

    def refusal(self):
        return (
            self.error(403, 50007, "Cannot send messages to this user"),
            "Cannot send messages to this user",
        )

    def broken(self):
        return self.error(500, 0, "500: Internal Server Error")

    def unauthorised(self):
        return self.error(401, 0, "401: Unauthorized")

    def route(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.require(given == f"Bot {self.token}", self.unauthorised(), f"Authorization {given}")
        agent = call.headers.get("user-agent", "")
        self.require(agent.startswith("DiscordBot ("), (403, b"error code: 1010"), f"User-Agent {agent}")
        parts = call.path.removeprefix("/api/v10/").split("/")
        if parts == ["users", "@me"] and call.method == "GET":
            return 200, {"id": BOT, "username": "hub", "discriminator": "0", "global_name": None, "bot": True}
        unknown = self.error(404, 0, "404: Not Found")
        self.require(parts[0] == "channels" and len(parts) >= 3, unknown, call.path)
        self.require(parts[1] == CHANNEL, self.error(404, 10003, "Unknown Channel"), parts[1])
        rest = parts[2:]
        if rest == ["messages"] and call.method == "POST":
            return self.message(call)
        if rest == ["typing"] and call.method == "POST":
            self.typed.append(True)
            return 204, b""
        self.require(rest[0] == "messages" and len(rest) >= 2, unknown, call.path)
        known = {made.id for made in self.made} | {self.inbound_id}
        self.require(rest[1] in known, self.error(404, 10008, "Unknown Message"), rest[1])
        if len(rest) == 2 and call.method == "PATCH":
            body = self.checked(call, EDIT, self.invalid)
            self.edits.append((rest[1], body["content"]))
            return 200, self.document(rest[1], body["content"])
        if len(rest) == 2 and call.method == "DELETE":
            self.deleted.append(rest[1])
            return 204, b""
        self.require(
            rest[2] == "reactions" and rest[4:] == ["@me"] and call.method in ("PUT", "DELETE"),
            unknown,
            call.path,
        )
        self.reactions.append((rest[1], unquote(rest[3]), call.method == "PUT"))
        return 204, b""

    def invalid(self, words):
        return self.error(
            400, 50035, "Invalid Form Body", errors={"content": {"_errors": [{"message": str(words)}]}}
        )

    def document(self, identifier, content, **more):
        return {
            "id": identifier,
            "channel_id": CHANNEL,
            "type": 0,
            "content": content or "",
            "author": {"id": BOT, "username": "hub", "discriminator": "0", "global_name": None, "bot": True},
            "timestamp": datetime.now(timezone.utc).isoformat(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "flags": 0,
        } | more

    def read(self, call):
        """JSON, or form data with `payload_json` and `files[n]`."""
        if call.headers["content-type"].startswith("application/json"):
            return call.json, []
        parts = parts_of(call)
        body = json.loads(parts.pop("payload_json")[0].text)
        files = {}
        for name, [part] in parts.items():
            self.require(name.startswith("files[") and part.filename, self.invalid(name), f"part {name}")
            files[name[6:-1]] = (part.filename, part.content)
        listed = {str(one["id"]): one for one in body.get("attachments", [])}
        self.require(set(listed) == set(files), self.invalid("attachments"), f"{listed} {sorted(files)}")
        return body, [
            (listed[number].get("filename", name), content) for number, (name, content) in files.items()
        ]

    def message(self, call):
        body, files = self.read(call)
        wrong = fault_of(CREATE, body)
        self.require(wrong is None, self.invalid(wrong), f"{wrong} in {body}")
        has = (
            any(body.get(name) for name in ("content", "embeds", "sticker_ids", "components", "poll"))
            or files
        )
        self.require(has, self.error(400, 50006, "Cannot send an empty message"), "empty")
        reference = body.get("message_reference", {}).get("message_id")
        allowed = body.get("allowed_mentions", {})
        twice = set(allowed.get("parse", [])) & set(allowed)
        self.require(not twice, self.invalid("allowed_mentions"), f"mutually exclusive {twice}")

        def make(number):
            identifier = str((int(time.time() * 1000) - 1_420_070_400_000) << 22 | number)
            made = Made(identifier, CHANNEL, body.get("content"), reference, files)
            document = self.document(identifier, body.get("content"), nonce=body.get("nonce"))
            return made, (200, document)

        key = body.get("nonce") if body.get("enforce_nonce") else None
        return self.create(call, make, key, lambda before: before[1])

    def client(self):
        """discord.py's HTTP client, which has one address for all."""

        async def send():
            Route.BASE = f"{self.url}/api/v10"
            http = HTTPClient(asyncio.get_running_loop())
            await http.static_login(self.token)
            with handle_message_parameters(content="by discord.py", nonce="1") as parameters:
                document = await http.send_message(int(CHANNEL), params=parameters)
            await http.close()
            return document["id"]

        return asyncio.run(send())
