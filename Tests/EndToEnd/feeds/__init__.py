"""Platforms that are polled, as servers written from the platforms' published contracts.

Each module holds one platform in memory: who may ask, conversations, messages with their times, pages of the
documented size and what its cursors mean. A server is strict: a call or a parameter that the contract does
not know, or one that is missing, is a violation, and a test that finds one fails. It knows nothing of the
hub's code.
"""

import itertools
import secrets
import threading
import time
import traceback

from platform_server import PlatformServer

DAY = 86_400
_numbers = itertools.count(1)


class Refused(Exception):
    """The answer to a call that does not get what it asks for."""

    def __init__(self, status, body, headers=None):
        super().__init__(f"{status} {body}")
        self.answer = (status, body, headers or {})


class Feed:
    """A platform with one account of the hub's.

    `say`, `edit`, `delete` and `react` are what people do there. `own` is the account's own side. What a
    reader of this platform can find out is in `finds`: edit, delete, react.
    """

    platform = ""
    finds = frozenset()
    settings = {"polling": "on"}
    # How many messages are there from before, over how many conversations; more than two pages.
    before = 250
    places = 2
    # More than two pages while the account is polled.
    burst = 250
    # Whether messages that were there before can be read, and whether there is a webhook beside.
    has_history = True
    has_webhook = True
    has_refresh = False
    # With webhooks it is looked through now and then.
    is_swept = False
    # Seconds after which a call without an answer is given up.
    patience = 30
    # Changes that one answer tells of, and no other page has the rest.
    most = 0
    # The platform's times are whole seconds.
    seconds_only = False
    # The hub's own sample of a webhook of the same kind: it has the headers.
    sample = "text"

    def __init__(self):
        self.lock = threading.Condition()
        self.violations = []
        self.refusals = []
        self.quiet_until = 0
        self.revoked = False
        self.number = next(_numbers)
        self.token = f"token-{secrets.token_hex(8)}"
        self.calls_at = []
        self.page_delay = 0
        self.server = PlatformServer(self.answer)

    # What a module has.

    def credentials(self):
        raise NotImplementedError

    def say(self, text, at=None, place=0, own=False):
        """Returns the message. `own`: the account's user wrote it in another program."""
        raise NotImplementedError

    def edit(self, message, text):
        raise NotImplementedError

    def delete(self, message):
        raise NotImplementedError

    def react(self, message):
        raise NotImplementedError

    def name(self, message, text):
        """By what a test knows the message again: `read` finds the same in what the hub has."""
        return text

    def read(self, message):
        return message["text"]

    def route(self, call):
        """The answer to a call of somebody who may ask."""
        raise NotImplementedError

    def authorise(self, call):
        """Raises `Refused` with the documented answer when the call may not be made."""
        raise NotImplementedError

    def limits(self):
        """Every form of "too many": (name, seconds to wait, answer), as of now."""
        raise NotImplementedError

    def spent(self):
        """How an answer says that its window is spent: (seconds to wait, headers). None: none does."""
        return None

    def webhook(self, message):
        """The body by which the platform's webhook tells of a message."""
        raise NotImplementedError

    def expire(self):
        """From now on, places that were given out are not known. False: the platform's do not expire."""
        return False

    # What the server does.

    def refuse(self, *answers):
        """The next calls are answered so, one after the other."""
        with self.lock:
            self.refusals += answers
            self.lock.notify_all()

    def answer(self, call):
        with self.lock:
            try:
                return self.judged(call)
            except Refused as refused:
                return refused.answer
            except Exception:
                self.violations.append(traceback.format_exc())
                return 500, {"message": "the server under test failed"}

    def judged(self, call):
        now = time.time()
        self.calls_at.append(now)
        if now < self.quiet_until:
            self.violations.append(
                f"{call.path}: {self.quiet_until - now:.3f} s before the time that was told"
            )
        if self.refusals:
            refusal = self.refusals.pop(0)
            answer = refusal(call) if callable(refusal) else refusal
            return answer
        self.authorise(call)
        if self.page_delay:
            self.lock.wait(self.page_delay)
        return self.route(call)

    def limit(self, name):
        """The next call is told to wait; until then none may come."""

        def told(call):
            seconds, answer = next((one[1], one[2]) for one in self.limits() if one[0] == name)
            self.quiet_until = time.time() + seconds
            return answer

        self.refuse(told)

    def spend(self):
        """The next call is the last that its window has; until the next window none may come."""

        def last(call):
            self.authorise(call)
            status, body, *headers = self.route(call)
            seconds, more = self.spent()
            self.quiet_until = time.time() + seconds
            return status, body, (headers[0] if headers else {}) | more

        self.refuse(last)

    # What modules ask of calls.

    def violate(self, call, what):
        self.violations.append(f"{call.method} {call.path}: {what}")
        raise Refused(400, {"message": what})

    def unknown(self, call):
        self.violate(call, "no such method")

    def check(self, call, given, required=(), optional=()):
        missing = [name for name in required if name not in given]
        strange = [name for name in given if name not in required and name not in optional]
        if missing or strange:
            self.violate(call, f"missing {missing}, not known {strange}")
        return given

    def whole(self, call, given, name, usual, least, most):
        """A number within the documented bounds."""
        try:
            value = int(given.get(name, usual))
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            self.violate(call, f"{name} is {given.get(name)}, not {least} to {most}")
        return value

    def wants(self, call, condition, what):
        if not condition:
            self.violate(call, what)


def by_name():
    """Every feed, by the name of its platform."""
    from feeds import bluesky, discord, google_chat, instagram, intercom, linkedin, mastodon, mattermost
    from feeds import messenger, reddit, rocketchat, slack, teams_graph, telegram, x, zulip

    modules = [bluesky, discord, google_chat, instagram, intercom, linkedin, mastodon, mattermost]
    modules += [messenger, reddit, rocketchat, slack, teams_graph, telegram, x, zulip]
    return {module.Feed.platform: module.Feed for module in modules}
