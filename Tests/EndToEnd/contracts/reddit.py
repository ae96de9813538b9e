"""Reddit's API: https://www.reddit.com/dev/api and https://github.com/reddit-archive/reddit/wiki/OAuth2."""

import base64
import re
import secrets
import time
from urllib.parse import parse_qs

import praw
import requests

from contracts.base import Contract, Limit, Made
from hub import wait_until

INBOUND = "t4_in1"
FIRST = "t4_first"


class Reddit(Contract):
    """Only polled: the inbound message is in the inbox that the hub reads."""

    platform = "reddit"
    has_tokens = True
    place = FIRST
    inbound_id = INBOUND
    longest = "x" * 10_000
    # Messages can be neither; comments can.
    cannot = frozenset({"edit", "deletion"})

    def __init__(self):
        super().__init__()
        self.refresh = "refresh-" + secrets.token_hex(6)
        self.token = None
        self.inbox = []

    def webhook_credentials(self):
        return {
            "clientId": "client",
            "clientSecret": "secret",
            "refreshToken": self.refresh,
            "username": "hub_bot",
            "apiURL": self.url,
            "loginURL": self.url,
        }

    def sending_credentials(self):
        return {"clientSecret": "secret"}

    def open(self, scene):
        wait_until(lambda: scene.record()["polling"]["polledAt"], 20, "the first poll")
        entry = self.entry()
        with self.lock:
            self.inbox.append({"kind": self.kind, "data": entry})
        # A change of the account has it polled at once.
        scene.patch(credentials=self.sending_credentials())
        wait_until(lambda: scene.user.conversations(account=scene.account["id"]), 60, "the message")
        scene.patch(settings={"polling": "off"})

    kind = "t4"

    def entry(self):
        return {
            "name": INBOUND,
            "id": "in1",
            "author": "ana",
            "author_fullname": "t2_ana",
            "dest": "hub_bot",
            "subject": "a question",
            "body": "hello",
            "body_html": "<p>hello</p>",
            "created_utc": time.time() + 1,
            "was_comment": False,
            "first_message_name": FIRST,
            "first_message": 1,
            "parent_id": FIRST,
            "context": "",
            "new": True,
            "subreddit": None,
        }

    @staticmethod
    def form_error(code, words, field, **more):
        return 200, {"json": {"errors": [[code, words, field]]} | more}

    def limits(self):
        """Of calls by headers, in seconds from now; of comments by a sentence in an answer that is 200."""
        headers = {"x-ratelimit-remaining": "0.0", "x-ratelimit-used": "996", "x-ratelimit-reset": "2"}
        words = "Looks like you've been doing that a lot. Take a break for 3 seconds before trying again."
        return {
            "reset": Limit((429, {"message": "Too Many Requests", "error": 429}, headers), 2),
            "retry-after": Limit(
                (429, b"<html></html>", {"Retry-After": "2", "Content-Type": "text/html"}), 2
            ),
            "member": Limit(self.form_error("RATELIMIT", words, "ratelimit", ratelimit=2.117), 2.117),
            "words": Limit(self.form_error("RATELIMIT", words, "ratelimit"), 3),
        }

    def refusal(self):
        return (
            self.form_error("USER_BLOCKED", "you can't send to a user that you have blocked", "to"),
            "blocked",
        )

    def broken(self):
        return 500, {"message": "Internal Server Error", "error": 500}

    def route(self, call):
        agent = call.headers.get("user-agent", "")
        form = re.fullmatch(r"[^:]+:[^:]+:\S+ \(by /u/\w+\)", agent) or agent.startswith("judge")
        self.require(form, (429, {"message": "Too Many Requests", "error": 429}), f"User-Agent {agent}")
        if call.path == "/api/v1/access_token":
            return self.renew(call)
        given = call.headers.get("authorization", "").lower()
        denied = (401, {"message": "Unauthorized", "error": 401})
        self.refuse_if(self.is_expired and given != f"bearer {self.token}", denied)
        self.require(given == f"bearer {self.token}", denied, f"Authorization {given}")
        what = (call.method, call.path)
        if what == ("GET", "/api/v1/me"):
            return 200, {"name": "hub_bot", "id": "hub1"}
        if call.method == "GET" and call.path.startswith("/message/"):
            return 200, {
                "kind": "Listing",
                "data": {
                    "after": None,
                    "before": None,
                    "children": self.inbox if call.path == "/message/inbox" else [],
                },
            }
        missing = (404, {"message": "Not Found", "error": 404})
        if call.path in ("/api/editusertext", "/api/del") and self.kind == "t1":
            return self.change(call)
        self.require(call.method == "POST" and call.path.rstrip("/") == "/api/comment", missing, what)
        return self.comment(call)

    def answer_to(self, form, number):
        """A message, as the answer shows it."""
        return {
            "name": f"t4_out{number}",
            "id": f"out{number}",
            "author": "hub_bot",
            "dest": "ana",
            "subject": "re: a question",
            "body": form["text"],
            "body_html": "",
            "created_utc": time.time(),
            "was_comment": False,
            "first_message_name": FIRST,
            "parent_id": form["thing_id"],
            "context": "",
            "new": False,
            "replies": "",
            "subreddit": None,
        }

    def renew(self, call):
        login = base64.b64encode(b"client:secret").decode()
        refused = (400, {"message": "Bad Request", "error": 400})
        self.refuse_if(self.is_revoked, (400, {"error": "invalid_grant"}))
        self.require(call.headers.get("authorization") == f"Basic {login}", (401, {"error": 401}), "login")
        self.require(
            call.form == {"grant_type": "refresh_token", "refresh_token": self.refresh}, refused, call.form
        )
        self.step(call)
        self.renewals += 1
        self.token = f"token-{self.renewals}"
        return 200, {
            "access_token": self.token,
            "token_type": "bearer",
            "expires_in": 86_400,
            "scope": "identity privatemessages submit edit",
        }

    def expire(self):
        self.token, self.is_expired = secrets.token_hex(8), True

    def comment(self, call):
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        known = {"thing_id", "text", "api_type", "return_rtjson", "richtext_json", "uh", "raw_json"}
        self.require(set(form) <= known, self.form_error("INVALID_OPTION", "unknown", "x"), sorted(form))
        self.require(
            form.get("api_type") == "json", self.form_error("INVALID_OPTION", "api_type", "api_type"), form
        )
        self.require(form.get("text"), self.form_error("NO_TEXT", "we need something here", "text"), form)
        self.require(
            form.get("thing_id") in (self.inbound_id, self.place),
            self.form_error("NO_THING_ID", "parent", "parent"),
            form,
        )
        too_long = self.form_error("TOO_LONG", "this is too long (max: 10000)", "text")
        self.require(len(form["text"]) <= 10_000, too_long, len(form["text"]))

        def make(number):
            data = self.answer_to(form, number)
            made = Made(data["name"], self.place, form["text"], form["thing_id"])
            thing = {"kind": self.kind, "data": data}
            return made, (200, {"json": {"errors": [], "data": {"things": [thing]}}})

        return self.create(call, make)

    def client(self):
        session = requests.Session()
        contract = self

        class Here(requests.adapters.HTTPAdapter):
            def send(self, request, **options):
                request.url = re.sub(r"^https://[^/]+", contract.url, request.url)
                return super().send(request, **options | {"verify": False})

        session.mount("https://", Here())
        reddit = praw.Reddit(
            client_id="client",
            client_secret="secret",
            refresh_token=self.refresh,
            user_agent="judge",
            check_for_updates=False,
            requestor_kwargs={"session": session},
        )
        message = praw.models.Message(reddit, {"name": INBOUND, "id": "in1", "author": None, "dest": None})
        return message.reply(body="by praw").name


class RedditComments(Reddit):
    """Comments under a post can be edited and deleted."""

    only = frozenset({"text", "reply", "edit", "deletion"})
    cannot = frozenset()
    kind = "t1"
    place = "t3_post1"
    inbound_id = "t1_in1"

    def entry(self):
        return super().entry() | {
            "name": "t1_in1",
            "was_comment": True,
            "link_id": "t3_post1",
            "parent_id": "t3_post1",
            "first_message_name": None,
            "first_message": None,
            "subreddit": "test",
            "link_title": "A post",
            "context": "/r/test/comments/post1/a_post/in1/?context=3",
        }

    def answer_to(self, form, number):
        return super().answer_to(form, number) | {
            "name": f"t1_out{number}",
            "was_comment": True,
            "link_id": "t3_post1",
            "subreddit": "test",
        }

    def change(self, call):
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        is_edit = call.path == "/api/editusertext"
        known = {"thing_id", "text", "api_type", "raw_json"} if is_edit else {"id", "api_type", "raw_json"}
        self.require(set(form) <= known, self.form_error("INVALID_OPTION", "unknown", "x"), sorted(form))
        name = form["thing_id" if is_edit else "id"]
        ids = {made.id for made in self.made}
        self.require(name in ids, self.form_error("NOT_AUTHOR", "you can't do that", "thing_id"), name)
        if not is_edit:
            self.deleted.append(name)
            return 200, {}
        self.edits.append((name, form["text"]))
        data = self.answer_to({"text": form["text"], "thing_id": self.inbound_id}, 1)
        return 200, {"json": {"errors": [], "data": {"things": [{"kind": "t1", "data": data}]}}}
