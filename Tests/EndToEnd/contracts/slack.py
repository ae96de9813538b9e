"""Slack's Web API: https://docs.slack.dev/reference/methods and https://docs.slack.dev/apis/web-api."""

import html
import re
import secrets
import time

from slack_sdk import WebClient
from slack_sdk.models.metadata import Metadata
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.slack_response import SlackResponse

from contracts.base import ANY, BOOLEAN, Contract, Limit, Made, STRING, array, compact, fault_of, obj, string

CHANNEL = "D024BE91L"
TIME = string(pattern=r"^\d{10}\.\d{6}$")
METADATA = obj({"event_type": STRING, "event_payload": {"type": "object"}})
BODIES = {
    "chat.postMessage": obj(
        {"channel": STRING},
        text=string(40_000, least=0),
        thread_ts=TIME,
        metadata=METADATA,
        blocks=array(ANY, 50),
        attachments=array(ANY, 100),
        mrkdwn=BOOLEAN,
        reply_broadcast=BOOLEAN,
        unfurl_links=BOOLEAN,
        unfurl_media=BOOLEAN,
        icon_emoji=STRING,
        username=STRING,
        parse=STRING,
        link_names=BOOLEAN,
    ),
    "chat.update": obj(
        {"channel": STRING, "ts": TIME}, text=string(40_000), blocks=array(ANY, 50), metadata=METADATA
    ),
    "chat.delete": obj({"channel": STRING, "ts": TIME}),
    "reactions.add": obj({"channel": STRING, "timestamp": TIME, "name": string(pattern=r"^[a-z0-9_+'-]+$")}),
    "reactions.remove": obj({"channel": STRING, "timestamp": TIME, "name": STRING}),
    "conversations.mark": obj({"channel": STRING, "ts": TIME}),
    "files.completeUploadExternal": obj(
        {"files": array(obj({"id": STRING}, title=STRING))},
        channel_id=STRING,
        initial_comment=STRING,
        thread_ts=TIME,
    ),
}


class Slack(Contract):
    platform = "slack"
    files = "upload"
    has_albums = True
    has_steps = True
    has_second_step = True
    has_echo = True
    has_threads = True
    place = CHANNEL
    longest = "x" * 40_000

    NAMES = {"👍": {"+1", "thumbsup"}}

    def __init__(self):
        super().__init__()
        self.token = "xoxb-" + secrets.token_hex(12)
        self.secret = secrets.token_hex(16)
        self.inbound_id = f"{int(time.time())}.000200"
        self.uploads = {}

    def webhook_credentials(self):
        return {"signingSecret": self.secret, "teamId": "T123ABC456"}

    def sending_credentials(self):
        return {"botToken": self.token, "apiURL": f"{self.url}/api"}

    def event(self, **event):
        body = compact(
            {
                "type": "event_callback",
                "token": "t",
                "team_id": "T123ABC456",
                "api_app_id": "A123ABC456",
                "authorizations": [
                    {"enterprise_id": None, "team_id": "T123ABC456", "user_id": "UBOT", "is_bot": True}
                ],
                "event_id": "Ev" + secrets.token_hex(4),
                "event_time": int(time.time()),
                "event": {"type": "message", "channel": CHANNEL, "channel_type": "im"} | event,
            }
        )
        stamp = str(int(time.time()))
        signature = SignatureVerifier(self.secret).generate_signature(timestamp=stamp, body=body)
        return {
            "Content-Type": "application/json",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": signature,
        }, body

    def inbound(self, account):
        return self.event(user="U2147483697", text="hello", ts=self.inbound_id, event_ts=self.inbound_id)

    def echo(self, account, made):
        return self.event(
            user="UBOT",
            bot_id="B1",
            app_id="A123ABC456",
            text=made.text,
            ts=made.id,
            event_ts=made.id,
            metadata=made.call.json.get("metadata"),
        )

    @staticmethod
    def error(name, **more):
        return 200, {"ok": False, "error": name} | more

    def limits(self):
        body = {"ok": False, "error": "ratelimited"}
        return {
            "header": Limit((429, body, {"Retry-After": "2"}), 2),
            "no-body": Limit((429, b"", {"Retry-After": "2", "Content-Type": "text/plain"}), 2),
            "rate_limited": Limit((200, {"ok": False, "error": "rate_limited"}, {"Retry-After": "2"}), 2),
        }

    def refusal(self):
        return self.error("is_archived"), "is_archived"

    def broken(self):
        return 500, {"ok": False, "error": "fatal_error"}

    def unauthorised(self):
        return self.error("token_revoked")

    def route(self, call):
        if call.path.startswith("/upload/"):
            return self.uploaded(call)
        method = call.path.removeprefix("/api/")
        if method == "oauth.v2.access":
            return self.renew(call)
        self.authorise(call)
        if method == "files.getUploadURLExternal":
            return self.upload_url(call)
        if method == "files.info":
            return self.file_info(call)
        self.require(call.method == "POST" and method in BODIES, self.error("unknown_method"), method)
        body = self.read(call, BODIES[method])
        place = body.get("channel", body.get("channel_id"))
        self.require(place == CHANNEL, self.error("channel_not_found"), place)
        for name in ("text", "initial_comment"):
            if name in body:
                body[name] = self.plain(body[name])
        return getattr(self, method.replace(".", "_"))(call, body)

    def read(self, call, schema):
        """JSON or a form: both are documented for what writes."""
        kind = call.headers.get("content-type", "").split(";")[0]
        bad = self.error("invalid_arguments")
        if kind == "application/json":
            return self.checked(
                call,
                schema,
                lambda words: self.error("invalid_arguments", response_metadata={"messages": [str(words)]}),
            )
        self.require(kind == "application/x-www-form-urlencoded", self.error("invalid_form_data"), kind)
        self.require(fault_of(schema, call.form) is None, bad, call.form)
        return call.form

    def plain(self, text):
        """As people see it. What is no mark has to be written out."""
        rest = re.sub(r"<(@[A-Z0-9]+|#[A-Z0-9]+|![a-z^]+|https?:[^<>\n]+|mailto:[^<>\n]+)(\|[^<>\n]*)?>", "", text)
        self.require(
            not re.search(r"[<>]|&(?!amp;|lt;|gt;)", rest), self.error("invalid_arguments"), f"not escaped: {text}"
        )
        return html.unescape(text)

    def authorise(self, call):
        self.refuse_if(self.is_revoked, self.unauthorised())
        given = call.headers.get("authorization")
        self.refuse_if(self.is_expired and given == f"Bearer {self.old_token}", self.error("token_expired"))
        self.require(given == f"Bearer {self.token}", self.error("invalid_auth"), f"Authorization {given}")

    def chat_postMessage(self, call, body):
        self.require(body.get("text") or body.get("blocks"), self.error("no_text"), "no text")
        root = body.get("thread_ts")
        # "Avoid using a reply's ts value; use its parent instead."
        self.require(root in (None, self.quoted_id), self.error("thread_not_found"), f"thread {root}")

        def make(number):
            stamp = f"{int(time.time())}.{1000 + number:06}"
            made = Made(stamp, CHANNEL, body.get("text"), body.get("thread_ts"))
            message = {
                "type": "message",
                "user": "UBOT",
                "bot_id": "B1",
                "text": body.get("text"),
                "ts": stamp,
            }
            return made, (200, {"ok": True, "channel": CHANNEL, "ts": stamp, "message": message})

        return self.create(call, make)

    def known(self, stamp, error="message_not_found"):
        self.require(
            stamp in {made.id for made in self.made} | {self.inbound_id},
            self.error(error),
            f"message {stamp}",
        )
        return stamp

    def chat_update(self, call, body):
        self.edits.append((self.known(body["ts"]), body["text"]))
        return 200, {"ok": True, "channel": CHANNEL, "ts": body["ts"], "text": body["text"]}

    def chat_delete(self, call, body):
        self.deleted.append(self.known(body["ts"]))
        return 200, {"ok": True, "channel": CHANNEL, "ts": body["ts"]}

    def react(self, body, is_set):
        emoji = next((one for one, names in self.NAMES.items() if body["name"] in names), None)
        self.require(emoji is not None, self.error("invalid_name"), body["name"])
        self.reactions.append((self.known(body["timestamp"]), emoji, is_set))
        return 200, {"ok": True}

    def reactions_add(self, call, body):
        return self.react(body, True)

    def reactions_remove(self, call, body):
        return self.react(body, False)

    # Files: https://docs.slack.dev/messaging/working-with-files#uploading_files

    def upload_url(self, call):
        """Its arguments are no JSON."""
        values = dict(call.query)
        if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            values |= call.form
        size = values.get("length", "")
        self.require(
            values.get("filename") and size.isdigit() and int(size) > 0,
            self.error("invalid_arguments"),
            values,
        )
        self.require(
            set(values) <= {"filename", "length", "alt_txt", "snippet_type"},
            self.error("invalid_arguments"),
            values,
        )
        self.step(call)
        identifier = f"F{len(self.uploads)}ABC"
        self.uploads[identifier] = {"name": values["filename"], "length": int(size), "content": None}
        return 200, {"ok": True, "upload_url": f"{self.url}/upload/{identifier}", "file_id": identifier}

    def uploaded(self, call):
        """The bytes, as they are or as form data."""
        file = self.uploads[call.path.removeprefix("/upload/")]
        self.step(call)
        self.require(
            call.method == "POST" and "authorization" not in call.headers, (400, b""), "a token is sent along"
        )
        self.require(len(call.body) == file["length"], (400, b"length"), f"{len(call.body)} bytes")
        file["content"] = call.body
        return 200, f"OK - {len(call.body)}".encode(), {"Content-Type": "text/plain"}

    def files_completeUploadExternal(self, call, body):
        files = []
        for one in body["files"]:
            file = self.uploads.get(one["id"])
            self.require(file and file["content"] is not None, self.error("file_not_found"), one)
            files.append((file["name"], file["content"]))

        def make(number):
            stamp = f"{int(time.time())}.{1000 + number:06}"
            made = Made(stamp, CHANNEL, body.get("initial_comment"), body.get("thread_ts"), files)
            self.shared = stamp
            # Sharing happens later: the answer knows no message yet.
            return made, (
                200,
                {"ok": True, "files": [{"id": one["id"], "title": one["id"]} for one in body["files"]]},
            )

        return self.create(call, make)

    def file_info(self, call):
        self.asked = getattr(self, "asked", 0) + 1
        shares = {} if self.asked < 2 else {"private": {CHANNEL: [{"ts": self.shared}]}}
        return 200, {"ok": True, "file": {"id": call.query["file"], "shares": shares}}

    def judge(self):
        """slack_sdk: its limits on metadata, and the answers as its client takes them."""
        for call in self.calls:
            if call.path.endswith("chat.postMessage"):
                metadata = call.json.get("metadata")
                if metadata:
                    Metadata(**metadata).validate_json()

    def client(self):
        answer = WebClient(self.token, base_url=f"{self.url}/api/").chat_postMessage(
            channel=CHANNEL, text="by slack_sdk"
        )
        assert isinstance(answer, SlackResponse)
        return answer["ts"]


class RotatingSlack(Slack):
    """Token rotation: https://docs.slack.dev/authentication/using-token-rotation."""

    has_tokens = True

    def __init__(self):
        super().__init__()
        self.refresh = "xoxe-1-0"

    def sending_credentials(self):
        return {
            "refreshToken": "xoxe-1-0",
            "clientId": "1.2",
            "clientSecret": "s",
            "apiURL": f"{self.url}/api",
        }

    def renew(self, call):
        form = call.form
        wanted = {
            "client_id": "1.2",
            "client_secret": "s",
            "grant_type": "refresh_token",
            "refresh_token": self.refresh,
        }
        self.refuse_if(self.is_revoked, self.error("invalid_refresh_token"))
        self.require(form == wanted, self.error("invalid_refresh_token"), form)
        self.step(call)
        self.renewals += 1
        self.refresh = f"xoxe-1-{self.renewals}"
        self.old_token, self.token = self.token, f"xoxe.xoxb-1-{self.renewals}"
        self.is_expired = True
        return 200, {
            "ok": True,
            "access_token": self.token,
            "expires_in": 43_200,
            "refresh_token": self.refresh,
            "token_type": "bot",
            "scope": "chat:write",
            "bot_user_id": "UBOT",
            "app_id": "A1",
            "team": {"id": "T123ABC456", "name": "Team"},
            "enterprise": None,
        }

    def expire(self):
        self.old_token, self.token = self.token, secrets.token_hex(8)
        self.is_expired = True


class ThreadedSlack(Slack):
    """What is answered is an answer itself."""

    only = frozenset({"reply", "own_answer", "attachment", "edit", "deletion"})

    def __init__(self):
        super().__init__()
        self.root = f"{int(time.time()) - 60}.000100"

    @property
    def quoted_id(self):
        return self.root

    def inbound(self, account):
        stamp = self.inbound_id
        return self.event(user="U2147483697", text="hello", ts=stamp, event_ts=stamp, thread_ts=self.root)
