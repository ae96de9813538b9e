"""What the contracts of all platforms have in common.

A contract is a server that does what the platform's documentation says, and no more: what is not in the
contract is answered with the platform's own error and written down as a violation, which fails the test. It
keeps what it made, so that a test can say what the other side sees. `tell` gives the next calls that make a
message another answer.
"""

import email.parser
import email.policy
import json
import threading
import time
from dataclasses import dataclass, field

import jsonschema
import requests

from platform_server import PlatformServer

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000000000500010d0a2db40000000049454e44ae426082"
)


# Schemas, written as the documentation's tables are: what is required, what is optional, and nothing else.


def obj(required=None, **optional):
    properties = dict(required or {}) | optional
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or {}),
        "additionalProperties": False,
    }


def string(most=None, least=1, pattern=None):
    schema = {"type": "string", "minLength": least}
    if most is not None:
        schema["maxLength"] = most
    if pattern is not None:
        schema["pattern"] = pattern
    return schema


def array(item, most=None, least=1):
    schema = {"type": "array", "items": item, "minItems": least}
    return schema if most is None else schema | {"maxItems": most}


def one_of(*values):
    return {"enum": list(values)}


STRING = string()
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
BOOLEAN = {"type": "boolean"}
ANY = {}


def fault_of(schema, value):
    """The first thing that is wrong with a document; None: nothing."""
    wrong = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(value)), None)
    return wrong and f"{wrong.json_path}: {wrong.message[:300]}"


# What comes and goes.


@dataclass
class Fault:
    """An answer in place of the right one. With `done` the platform does what it was asked all the same."""

    answer: object
    done: bool = False


@dataclass
class Limit:
    """One way in which the platform says that there were too many calls, and the seconds that it asks for.

    Where it asks for none, `most` bounds what is waited.
    """

    answer: object
    seconds: float
    most: float | None = None


@dataclass
class Made:
    """A message as the other side sees it."""

    id: str
    place: str
    text: str | None = None
    reply: str | None = None
    files: list = field(default_factory=list)
    call: object = None


class OffContract(Exception):
    """What the platform refuses. Unless it `is_told`, nobody may ask for it."""

    def __init__(self, answer, what, is_told=False):
        super().__init__(what)
        self.answer = answer
        self.is_told = is_told


@dataclass
class Part:
    name: str
    filename: str | None
    type: str
    content: bytes

    @property
    def text(self):
        return self.content.decode()


def parts_of(call):
    """The parts of multipart form data (RFC 7578), by name."""
    head = f"Content-Type: {call.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + call.body)
    assert message.is_multipart() and not message.defects, (call.path, message.defects)
    parts = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        parts.setdefault(name, []).append(Part(name, part.get_filename(), part.get_content_type(), content))
    return parts


class Contract:
    platform = None
    # Whether the platform does a call once that is repeated with its key.
    does_once = False
    # How a file gets there: "upload", by "url", or None.
    files = None
    file_name = "cat.png"
    file_type = "image/png"
    # Whether a text goes with a file.
    has_caption = True
    # Whether one message has several files.
    has_albums = False
    # What is put on a message and taken away.
    emoji = "👍"
    # Whether what it made can be asked for by the sender's own id.
    can_be_asked = False
    # Whom the conversation of the inbound message is with, and that message's id.
    place = None
    inbound_id = None
    # Whether the account's credential can be had anew by the hub.
    has_tokens = False
    # Whether the platform's own news of a message reach the account by webhook.
    has_echo = False
    # Whether calls go before the one that makes a message with a file, and several.
    has_steps = False
    has_second_step = False
    # Whether the other side is shown that somebody types, and what was read.
    has_typing = False
    has_receipts = False
    # Whether what is answered has a thread, by its first message.
    has_threads = False
    # Whether what is answered is asked for before.
    has_reply_steps = False
    # Cases of what the catalogue says, and this kind of conversation has not.
    cannot = frozenset()
    # Of another kind of conversation only what is different there; None: every case.
    only = None
    # The account's policy, beside that it is not polled.
    settings = {}
    # Extras that a quotation needs.
    reply_extras = {}
    # A text that is as long as the platform takes, and others that are too long in another count of its.
    longest = None
    too_long = ()

    def __init__(self):
        self.made = []
        self.edits = []
        self.deleted = []
        self.reactions = []
        # What the other side is shown beside messages: that somebody types, and up to where was read.
        self.typed = []
        self.seen = []
        self.tries = []
        self.violations = []
        self.by_key = {}
        self.faults = []
        # Answers to the next calls, whatever they are.
        self.next_answers = []
        self.step_faults = []
        self.renewals = 0
        self.is_revoked = False
        self.is_expired = False
        self.lock = threading.RLock()
        self.server = PlatformServer(self.handle)

    @property
    def url(self):
        return self.server.url

    @property
    def calls(self):
        return self.server.calls

    # What a platform says of itself.

    def webhook_credentials(self):
        """What the account is connected with: enough to receive."""
        raise NotImplementedError

    def sending_credentials(self):
        raise NotImplementedError

    def inbound(self, account):
        """(headers, body) of a genuine delivery with the message `inbound_id` in `place`, of this moment."""
        raise NotImplementedError

    def limits(self):
        """By name: each documented way to say that there were too many calls."""
        raise NotImplementedError

    def refusal(self):
        """A permanent one, and words of it that a person can read."""
        raise NotImplementedError

    def broken(self):
        """What the platform answers when it fails itself."""
        return 500, {"message": "Internal Server Error"}

    def unauthorised(self):
        """What a credential that was taken back is answered with."""
        raise NotImplementedError

    def route(self, call):
        """The answer to a call, by the contract."""
        raise NotImplementedError

    def judge(self):
        """The platform's own library reads what it was sent."""

    def client(self):
        """The platform's own library sends a text to `place`, through this very server. Returns its id."""
        return None

    def echo(self, account, made):
        """(headers, body) by which the platform tells of a message that it made."""
        raise NotImplementedError

    @property
    def quoted_id(self):
        """How the platform names what an answer to the inbound message belongs to."""
        return self.inbound_id

    def as_written(self, text):
        """How a text looks that was written as `text`."""
        return text

    # The course of a call.

    def tell(self, *faults):
        self.faults += [fault if isinstance(fault, Fault) else Fault(fault) for fault in faults]

    def open(self, scene):
        """Has the inbound message come, and gives the account what it needs to answer."""
        self.deliver(scene.hub, scene.account, self.inbound(scene.account))
        scene.patch(settings={"polling": "off"} | self.settings)
        scene.patch(credentials=self.sending_credentials())

    def deliver(self, hub, account, delivery):
        headers, body = delivery
        path = f"/webhooks/{self.platform}/{account['accountKey']}"
        response = requests.post(hub.url + path, data=body, headers=headers, timeout=15)
        assert 200 <= response.status_code <= 299, f"{response.status_code} {response.text}"

    def handle(self, call):
        call.at = time.monotonic()
        try:
            with self.lock:
                if self.next_answers:
                    return self.next_answers.pop(0)
                return self.route(call)
        except OffContract as refused:
            if not refused.is_told:
                self.violations.append(f"{call.method} {call.path}: {refused}")
            return refused.answer
        except Exception as error:  # noqa: BLE001: a test's own mistake must be seen as one.
            self.violations.append(f"{call.method} {call.path}: {type(error).__name__}: {error}")
            return 500, {"error": "the test's server failed"}

    def require(self, condition, answer, what):
        if not condition:
            raise OffContract(answer, what)

    def refuse_if(self, condition, answer):
        """What a test asked for: not the caller's fault."""
        if condition:
            raise OffContract(answer, "told", is_told=True)

    def checked(self, call, schema, answer):
        """The JSON of a call. `answer` makes the platform's refusal of words."""
        kind = call.headers.get("content-type", "").split(";")[0]
        self.require(kind == "application/json", answer("Content-Type"), f"Content-Type {kind}")
        wrong = fault_of(schema, call.json)
        self.require(wrong is None, answer(wrong), f"{wrong} in {call.body[:500]}")
        return call.json

    def step(self, call):
        """A call on the way to a message, which a test may have fail."""
        if self.step_faults:
            fault = self.step_faults.pop(0)
            if fault is not None:
                raise OffContract(fault, "told", is_told=True)

    def create(self, call, make, key=None, repeated=None):
        """The one call that makes a message. `make` gives (Made, answer) for its number."""
        self.tries.append(call)
        fault = self.faults.pop(0) if self.faults else None
        if fault and not fault.done:
            return fault.answer
        if key is not None and key in self.by_key:
            answer = repeated(self.by_key[key])
        else:
            made, answer = make(len(self.made) + 1)
            made.call = call
            self.made.append(made)
            if key is not None:
                self.by_key[key] = (made, answer)
        return fault.answer if fault else answer

    def revoke(self):
        """The credential is taken back, and with it every token that was had by it."""
        self.is_revoked = True
        if self.has_tokens:
            self.expire()

    def expire(self):
        """The access token ends; a new one can be had."""
        raise NotImplementedError

    def close(self):
        self.server.close()


def compact(value):
    return json.dumps(value, ensure_ascii=False).encode()
