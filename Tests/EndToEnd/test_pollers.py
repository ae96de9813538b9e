"""Every platform that is polled by calls, end to end, against servers written from the platforms' contracts.

One hub polls them all at once. Each case of each platform runs in a thread of its own, with a user, an
account and a server of its own, and the tests below collect what came of it.
"""

import concurrent.futures
import json
import time
from datetime import datetime

import pytest

import feeds
from hub import Hub, unique, wait_until
from platform_server import CUT, HANG
from postgres import Cluster

FEEDS = feeds.by_name()
NAMES = sorted(FEEDS)
# Fifty times the usual pace: intervals become moments. What a platform tells to wait stays as it is.
PACE = 5_000
HISTORY_DAYS = 20


class Connected:
    """An account of a platform's server, and the user whose it is."""

    def __init__(self, hub, feed, **settings):
        self.hub = hub
        self.feed = feed
        self.user = hub.user(unique(feed.platform))
        self.known = []
        body = {"platform": feed.platform, "name": feed.platform, "credentials": feed.credentials()}
        self.account = self.user.post(
            "/api/accounts", body | {"settings": feed.settings | settings}, expect=201
        )
        feed.connected = self

    def state(self):
        return self.user.get(f"/api/accounts/{self.account['id']}")

    def begun(self, seconds=30):
        """The account has been polled: what comes from now on is news."""
        wait_until(
            lambda: self.state()["polling"]["polledAt"], seconds, f"{self.feed.platform}: the first poll", 0.1
        )
        return self

    def say(self, text, **more):
        message = self.feed.say(text, **more)
        name = self.feed.name(message, text)
        self.known.append(name)
        return message, name

    def stop(self):
        self.user.patch(f"/api/accounts/{self.account['id']}", {"disabled": True})

    def messages(self):
        found = []
        for conversation in self.user.conversations(account=self.account["id"], limit=200):
            found += self.user.messages(conversation["id"], limit=200)
        return found

    def names(self):
        return [self.feed.read(message) for message in self.messages()]

    def pushed(self, kind="new_message"):
        return [event["data"]["message"] for event in self.user.events() if event["type"] == kind]

    def unread(self):
        return self.user.unread()["totalUnread"]

    def wait(self, names, seconds=30):
        """Until all are there, each once."""
        wanted = sorted(names)
        deadline = time.monotonic() + seconds
        while (found := sorted(self.names())) != wanted:
            if time.monotonic() > deadline or self.feed.violations:
                missing, more = set(wanted) - set(found), set(found) - set(wanted)
                twice = len(found) - len(set(found))
                self.sound()
                raise AssertionError(
                    f"missing {sorted(missing)[:9]}, too many {sorted(more)[:9]}, {twice} twice"
                )
            time.sleep(0.25 if len(wanted) < 50 else 1)

    def sound(self):
        """The platform was asked as its contract says."""
        assert not self.feed.violations, "\n".join(self.feed.violations[:5])

    def named(self, name):
        return next((message for message in self.messages() if self.feed.read(message) == name), None)

    def webhook(self, payload):
        path = self.hub.folder / f"{unique('webhook')}.json"
        path.write_text(json.dumps(payload))
        result = self.hub.command(
            "simulate",
            self.feed.platform,
            "--account",
            self.account["accountKey"],
            "--body",
            str(path),
            self.feed.sample,
        )
        assert "answered 200" in result.stdout or "answered 20" in result.stdout, (
            result.stdout + result.stderr
        )


def at(message):
    return datetime.fromisoformat(message["sentAt"].replace("Z", "+00:00")).timestamp()


# The cases. Each begins with a server that nobody knows.


def history(hub, make):
    feed = make()
    if not feed.has_history:
        pytest.skip("the platform lets nobody read what was before")
    now = time.time()
    times = {}
    # A conversation begins before the depth.
    for number in range(3):
        feed.say(f"too old {number}", at=now - (HISTORY_DAYS + 5) * feeds.DAY + number, place=0)
    for number in reversed(range(feed.before)):
        # From five seconds ago back over the days that are wanted.
        age = 5 + number * (HISTORY_DAYS - 1) * feeds.DAY / feed.before
        message = feed.say(f"old {number}", at=now - age, place=number % feed.places, own=number % 7 == 3)
        times[feed.name(message, f"old {number}")] = now - age
    account = Connected(hub, feed, historyDays=HISTORY_DAYS)
    wait_until(
        lambda: account.state()["polling"]["history"] == "done", 60, f"{feed.platform}: the history", 0.2
    )
    account.wait(times)
    found = {feed.read(message): message for message in account.messages()}
    step = 1.001 if feed.seconds_only else 0.002
    for name, message in found.items():
        assert abs(at(message) - times[name]) < step, (name, message["sentAt"], times[name])
    assert account.unread() == 0
    assert account.pushed() == []
    assert [event for event in account.user.events() if event["type"] == "unread_count_update"] == []
    directions = {name: message["direction"] for name, message in found.items()}
    own = [name for name in found if directions[name] == "outbound"]
    assert len(own) == len([n for n in range(feed.before) if n % 7 == 3]) or feed.platform == "linkedin"
    # Ids grow with arrival: of a conversation the newest came first, page by page.
    for conversation in account.user.conversations(account=account.account["id"]):
        listed = sorted(account.user.messages(conversation["id"]), key=at)
        assert len(listed) < 150 or listed[-1]["id"] < listed[0]["id"], "the oldest came first"
    # The end of the history is the beginning of the news.
    _, name = account.say("news")
    account.wait([*times, name])
    assert account.unread() == 1
    assert [feed.read(message) for message in account.pushed()] == [name]
    assert hub.command("verify", "unread").returncode == 0
    account.sound()


def beginning(hub, make):
    """What is said from the connection on is news, also when the platform cannot be asked at first."""
    feed = make()
    first = feed.name(feed.say("before", at=time.time() - 30), "before")
    feed.refuse((503, b"", {"Retry-After": "2"}))
    account = Connected(hub, feed)
    if not feed.has_history:
        account.known.append(first)
    # Whole seconds that have begun are before the connection as well.
    time.sleep(1.1 if feed.seconds_only else 0.05)
    for number in range(8):
        account.say(f"soon {number}", place=number % feed.places)
        time.sleep(0.3)
    account.wait(account.known)
    assert account.unread() == len(account.known)
    account.sound()


def live(hub, make):
    feed = make()
    first = feed.name(feed.say("before", at=time.time() - 30), "before")
    account = Connected(hub, feed).begun()
    if not feed.has_history:
        # What waits at the platform is news: it was told to nobody else.
        account.known.append(first)
    for number in range(3):
        account.say(f"hello {number}")
        if feed.seconds_only:
            time.sleep(1.05)
    _, own = account.say("from elsewhere", own=True)
    account.wait(account.known)
    inbound = [name for name in account.known if name != own]
    message = account.named(own)
    assert message["direction"] == ("inbound" if feed.platform == "linkedin" else "outbound")
    expected = len(account.known) if feed.platform == "linkedin" else len(inbound)
    assert account.unread() == expected
    pushed = [feed.read(one) for one in account.pushed()]
    assert sorted(pushed) == sorted(account.known)
    assert [name for name in pushed if name in inbound] == inbound
    listed = [name for name in account.names() if name in inbound]
    assert listed in (inbound, inbound[::-1])
    # Pages of pages at once.
    for number in range(feed.burst):
        account.say(f"burst {number}", place=number % feed.places)
    account.wait(account.known, 60)
    pushed = [feed.read(one) for one in account.pushed()]
    assert sorted(pushed) == sorted(account.known)
    assert account.unread() == expected + feed.burst
    assert hub.command("verify", "unread").returncode == 0
    account.sound()


def changes(hub, make):
    feed = make()
    if not feed.finds:
        pytest.skip("the platform tells no reader of changes")
    account = Connected(hub, feed).begun()
    edited, edited_name = account.say("to edit")
    deleted, deleted_name = account.say("to delete")
    own = "react own" in feed.finds
    liked, liked_name = account.say("to like", own=own)
    kept, kept_name = account.say("to keep")
    if "edit" in feed.finds and feed.platform == "mastodon":
        # Of a conversation the last status is shown.
        edited, edited_name = kept, kept_name
    account.wait(account.known)
    unread = account.unread()
    ids = {feed.read(message): message["id"] for message in account.messages()}

    def now(name):
        return account.user.get(f"/api/messages/{ids[name]}")

    if "delete" in feed.finds:
        feed.delete(deleted)
        wait_until(lambda: now(deleted_name)["deletedAt"], 15, "the deletion", 0.2)
        assert account.unread() == unread - 1
    if "edit" in feed.finds:
        if feed.seconds_only:
            time.sleep(1.1)
        feed.edit(edited, "edited")
        wait_until(lambda: now(edited_name)["text"].endswith("edited"), 15, "the edit", 0.2)
        assert now(edited_name)["editedAt"]
    if {"react", "react own"} & feed.finds:
        feed.react(liked)
        wait_until(lambda: now(liked_name)["reactions"], 15, "the reaction", 0.2)
        assert [(one["count"]) for one in now(liked_name)["reactions"]] == [1]
    untouched = now(deleted_name if "delete" not in feed.finds else liked_name)
    assert untouched["deletedAt"] is None and untouched["editedAt"] is None
    assert len(account.pushed()) == len(account.known)
    account.sound()


def threads(hub, make):
    """Replies in threads of messages that were there before, which no list of the channel shows as new."""
    feed = make()
    if not hasattr(feed, "answer_to"):
        pytest.skip("the platform has no threads, or shows them as messages")
    root = feed.say("root", at=time.time() - 600)
    account = Connected(hub, feed).begun()
    fresh, name = account.say("fresh root")
    account.wait([name])
    reply = feed.answer_to(fresh, "reply")
    account.known.append(feed.name(reply, "reply"))
    account.wait(account.known)
    if feed.platform == "mattermost":
        reply = feed.answer_to(root, "reply to old")
        account.known.append(feed.name(reply, "reply to old"))
        account.wait(account.known)
    assert account.unread() == len(account.known)
    account.sound()


def limited(hub, make):
    feed = make()
    account = Connected(hub, feed).begun()
    for place, (name, seconds, _) in enumerate(feed.limits()):
        if seconds >= 60 and place > 0:
            continue
        before = len(feed.calls_at)
        feed.limit(name)
        wait_until(lambda: not feed.refusals, 20, f"{name}: a call", 0.02)
        account.say(f"after {name}")
        account.wait(account.known, seconds + 25)
        told = feed.calls_at[before:]
        assert told and time.time() >= feed.quiet_until
        account.sound()
    assert account.state()["state"] == "connected"


def interrupted(hub, make):
    """Limits and failures while history is read: they hold for it as well, and it goes on afterwards."""
    feed = make()
    if not feed.has_history:
        pytest.skip("the platform lets nobody read what was before")
    names = []
    now = time.time()
    for number in reversed(range(feed.before)):
        age = 5 + number * (HISTORY_DAYS - 1) * feeds.DAY / feed.before
        message = feed.say(f"old {number}", at=now - age, place=number % feed.places)
        names.append(feed.name(message, f"old {number}"))
    feed.page_delay = 0.15
    account = Connected(hub, feed, historyDays=HISTORY_DAYS)

    def is_done():
        return account.state()["polling"]["history"] == "done"

    short = [name for name, seconds, _ in feed.limits() if seconds < 10]
    for turn in range(4):
        # Some calls later it is another kind of call: the first after a pause is for news.
        calls = len(feed.calls_at) + turn
        wait_until(lambda: len(feed.calls_at) > calls or is_done(), 30, "some calls", 0.01)
        if is_done():
            break
        if turn and short:
            feed.limit(short[0])
        else:
            feed.refuse((500, {"message": "oops"}))
        wait_until(lambda: not feed.refusals or is_done(), 30, "it was told", 0.01)
        wait_until(lambda: time.time() > feed.quiet_until, 20, "the end of the pause", 0.05)
    feed.page_delay = 0
    account.wait(names, 60)
    wait_until(is_done, 30, "the history", 0.2)
    assert account.unread() == 0 and account.pushed() == []
    account.sound()


def spent(hub, make):
    feed = make()
    if feed.spent() is None:
        pytest.skip("the platform says it when it is too late, or several calls make one page")
    account = Connected(hub, feed).begun()
    feed.spend()
    wait_until(lambda: not feed.refusals and feed.quiet_until, 20, "the last call", 0.02)
    account.say("in the next window")
    account.wait(account.known, 25)
    assert time.time() >= feed.quiet_until
    account.sound()


def silent(hub, make):
    """Waits that are longer than a test: at least nothing is asked for a while."""
    long = [name for name, seconds, _ in make().limits() if seconds >= 60]
    if not long:
        pytest.skip("the platform's waits are short")
    accounts = []
    for name in long:
        account = Connected(hub, make()).begun()
        account.feed.limit(name)
        accounts.append(account)
    wait_until(lambda: not any(account.feed.refusals for account in accounts), 30, "every limit told", 0.1)
    calls = [len(account.feed.calls_at) for account in accounts]
    time.sleep(6)
    for account, before in zip(accounts, calls):
        account.sound()
        assert len(account.feed.calls_at) == before
        assert account.state()["state"] == "connected"


def hanging(hub, make):
    """A platform that takes a call and never answers."""
    feed = make()
    if feed.patience > 30:
        pytest.skip("a call may take longer than the test")
    account = Connected(hub, feed).begun()
    feed.refuse(HANG)
    wait_until(lambda: not feed.refusals, 20, "a call that hangs", 0.05)
    hung = time.time()
    account.say("while it hangs")
    account.wait(account.known, 45)
    later = [at for at in feed.calls_at if at > hung + 0.05]
    assert later and later[0] - hung > feed.patience - 2, "it did not wait for the answer"
    account.sound()


def swept(hub, make):
    """With webhooks a sweep finds what they did not tell, and nothing from before the connection."""
    feed = make()
    if not feed.is_swept:
        pytest.skip("the platform is polled, or excludes webhooks")
    # Not where the webhook will tell: some tell a conversation's first message as well.
    feed.say("before", at=time.time() - 30, place=feed.places - 1)
    account = Connected(hub, feed, polling="auto")
    if feed.seconds_only:
        time.sleep(1.1)
    told, _ = account.say("told")
    account.webhook(feed.webhook(told))
    for number in range(feed.places + 3):
        account.say(f"missed {number}", place=number % feed.places)
    account.wait(account.known, 40)
    polling = account.state()["polling"]
    assert polling["role"] == "sweep"
    assert polling["recoveredBySweep"] in (feed.places + 3, feed.places + 4), polling
    assert account.unread() == len(account.known)
    assert sorted(feed.read(message) for message in account.pushed()) == sorted(account.known)
    account.sound()


def hooked(hub, make):
    """A webhook that excludes polling needs a person, who is told what to do."""
    feed = make()
    if not hasattr(feed, "hook"):
        pytest.skip("webhooks and polling go together")
    account = Connected(hub, feed).begun()
    feed.hook = True
    wait_until(lambda: account.state()["state"] == "bad_credentials", 20, "bad_credentials", 0.2)
    assert "deleteWebhook" in account.state()["stateAction"]
    feed.hook = None
    account.user.patch(f"/api/accounts/{account.account['id']}", {"credentials": feed.credentials()})
    account.say("after all")
    account.wait(account.known)
    assert account.state()["state"] == "connected"
    account.sound()


def flood(hub, make):
    """More at once than the platform tells of."""
    feed = make()
    if not feed.most:
        pytest.skip("the platform tells of everything, page by page")
    account = Connected(hub, feed).begun()
    with feed.lock:
        for number in range(feed.most + 150):
            account.say(f"much {number}", place=1)
    account.wait(account.known, 60)
    assert account.unread() == len(account.known)
    account.sound()


def failing(hub, make):
    feed = make()
    account = Connected(hub, feed).begun()
    html = {"Content-Type": "text/html"}
    answers = [
        (500, {"message": "oops"}),
        (502, b"<html>bad gateway</html>", html),
        (503, b"", {"Retry-After": "1"}),
        CUT,
    ]
    times = []

    def counted(answer):
        def refusal(call):
            times.append(time.time())
            return answer

        return refusal

    feed.refuse(*[counted(answer) for answer in answers])
    wait_until(lambda: times, 20, "the first failure", 0.02)
    account.say("while it fails")
    account.wait(account.known, 45)
    assert not feed.refusals and len(times) == len(answers)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    # Half of two, then of four seconds at least; 503 says one second itself.
    assert gaps[0] >= 0.95 and gaps[1] >= 1.95 and gaps[2] >= 0.95, gaps
    wait_until(lambda: account.state()["state"] == "connected", 10, "connected", 0.2)
    account.sound()


def expired(hub, make):
    feed = make()
    if type(feed).expire is feeds.Feed.expire:
        pytest.skip("the platform's places do not expire")
    account = Connected(hub, feed).begun()
    account.say("known")
    account.wait(account.known)
    if feed.platform in ("telegram", "zulip"):
        feed.expire()
        for number in range(feed.burst):
            account.say(f"meanwhile {number}", place=number % feed.places)
        account.wait(account.known, 60)
    else:
        # In the middle of the pages: what was read is read again, what was not is not left out.
        with feed.lock:
            for number in range(feed.burst):
                account.say(f"meanwhile {number}", place=number % feed.places)
            seen = len(feed.calls_at)
            feed.page_delay = 0.2
        if feed.platform == "reddit":
            feed.expire()
            wait_until(lambda: getattr(feed, "gone", None), 20, "a page whose end is gone", 0.01)
        else:
            wait_until(
                lambda: any(page(call) for call in feed.server.calls[seen:]), 20, "a second page", 0.01
            )
            feed.expire()
        feed.page_delay = 0
        account.wait([name for name in account.known if name != lost(account)], 60)
    account.say("afterwards")
    account.wait([name for name in account.known if name != lost(account)], 30)
    assert account.state()["state"] == "connected"
    account.sound()


def page(call):
    """Whether a call asks for a page that is not the first."""
    names = ("cursor", "pagination_token", "after", "pageToken", "$skiptoken")
    return any(name in call.query for name in names) or b"starting_after" in call.body


def lost(account):
    return None


def revoked(hub, make):
    feed = make()
    account = Connected(hub, feed).begun()
    account.say("before")
    account.wait(account.known)
    with feed.lock:
        feed.revoked = True
        if hasattr(feed, "access"):
            feed.access.clear()
        feed.lock.notify_all()
    wait_until(lambda: account.state()["state"] == "bad_credentials", 30, "bad_credentials", 0.2)
    state = account.state()
    assert state["stateReason"] and state["stateAction"], state
    updates = [
        event["data"]["account"] for event in account.user.events() if event["type"] == "account_update"
    ]
    assert updates[-1]["state"] == "bad_credentials" and updates[-1]["stateAction"]
    calls = len(feed.calls_at)
    if feed.has_webhook:
        message, name = account.say("by webhook")
        account.webhook(feed.webhook(message))
        account.wait(account.known, 10)
        assert account.state()["state"] == "bad_credentials"
    time.sleep(2)
    assert len(feed.calls_at) == calls, "it is asked on with a credential that it refused"
    # New credentials are tried at once.
    feed.revoked = False
    account.user.patch(f"/api/accounts/{account.account['id']}", {"credentials": feed.credentials()})
    account.say("with new credentials")
    account.wait(account.known, 20)
    assert account.state()["state"] == "connected"
    account.sound()


def refreshed(hub, make):
    feed = make()
    if not feed.has_refresh:
        pytest.skip("the platform's tokens do not end")
    feed.rotates = True
    account = Connected(hub, feed).begun()
    account.say("with the first")
    account.wait(account.known)
    for number in range(2):
        feed.expire_token()
        account.say(f"with another {number}")
        account.wait(account.known, 20)
    assert account.state()["state"] == "connected"
    updates = [
        event["data"]["account"] for event in account.user.events() if event["type"] == "account_update"
    ]
    assert all(update["state"] in ("starting", "connected") for update in updates), updates
    account.sound()


def both(hub, make):
    feed = make()
    if not feed.has_webhook:
        pytest.skip("the platform has no webhook for messages")
    account = Connected(hub, feed).begun()
    for number in range(2):
        # The webhook first, or the poll first.
        if number:
            message, name = account.say("polled first")
            account.wait(account.known)
            account.webhook(feed.webhook(message))
        else:
            with feed.lock:
                message, name = account.say("told first")
                payload = feed.webhook(message)
            account.webhook(payload)
        account.webhook(feed.webhook(message))
    calls = len(feed.calls_at)
    wait_until(lambda: len(feed.calls_at) > calls, 25, "another poll", 0.1)
    account.wait(account.known)
    assert account.unread() == len(account.known)
    assert sorted(feed.read(message) for message in account.pushed()) == sorted(account.known)
    account.sound()


CASES = [history, beginning, live, changes, threads, swept, both, flood]
CASES += [limited, interrupted, spent, silent, failing, hanging, expired, revoked, hooked, refreshed]


def restarted(hub, feed_of):
    """The hub is killed while pages are on their way, twice, and goes on where it was."""
    accounts, expected = [], {}
    for name in NAMES:
        feed = feed_of(name)
        now = time.time()
        old = []
        for number in reversed(range(feed.before if feed.has_history else 0)):
            age = 5 + number * (HISTORY_DAYS - 1) * feeds.DAY / feed.before
            message = feed.say(f"old {number}", at=now - age, place=number % feed.places)
            old.append(feed.name(message, f"old {number}"))
        feed.page_delay = 0.3
        accounts.append(Connected(hub, feed, historyDays=HISTORY_DAYS))
        expected[name] = old
    # Some platforms tell whole seconds.
    time.sleep(1.1)
    for turn in range(2):
        for account in accounts:
            for number in range(account.feed.burst // 2):
                # A few conversations become active, and move in front of those that are read just now.
                account.say(f"news {turn}.{number}", place=number % min(account.feed.places, 10))
        time.sleep(2)
        reading = [account for account in accounts if account.state()["polling"]["history"] == "due"]
        assert turn or len(reading) > 5, "the hub is killed too late"
        hub.kill()
        hub.start()
    for account in accounts:
        account.feed.page_delay = 0
    return {account.feed.platform: (account, expected[account.feed.platform]) for account in accounts}


class Outcomes:
    """Every case of every platform, under way at once."""

    def __init__(self, hub, wanted):
        self.hub = hub
        self.feeds = []
        self.workers = concurrent.futures.ThreadPoolExecutor(40)
        self.futures = {}
        for case, name in sorted(wanted, key=self.rank):
            self.futures[case, name] = self.workers.submit(self.run, case, name)

    @staticmethod
    def rank(wanted):
        """What waits longest begins first."""
        case, name = wanted
        return case not in (limited, failing, hanging), -FEEDS[name].patience, CASES.index(case)

    def run(self, case, name):
        made = []

        def make():
            made.append(FEEDS[name]())
            return made[-1]

        try:
            case(self.hub, make)
        finally:
            for feed in made:
                if account := getattr(feed, "connected", None):
                    account.stop()
                feed.server.close()

    def feed(self, name):
        self.feeds.append(FEEDS[name]())
        return self.feeds[-1]

    def close(self):
        for feed in self.feeds:
            self.workers.submit(feed.server.close)
        self.workers.shutdown()


@pytest.fixture(scope="module")
def outcomes(request):
    wanted = [
        (item.callspec.params["case"], item.callspec.params["name"])
        for item in request.session.items
        if item.path == request.path and "case" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    hub = Hub("pollers", POLLING_PACE=PACE, SWEEP_INTERVAL=2)
    made = None
    try:
        made = Outcomes(hub.start(), wanted)
        yield made
    finally:
        if made:
            made.close()
        hub.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_poller(outcomes, case, name):
    outcomes.futures[case, name].result()


@pytest.fixture(scope="module")
def after_restarts(outcomes):
    concurrent.futures.wait(outcomes.futures.values())
    return restarted(outcomes.hub, outcomes.feed)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_a_poller_goes_on_after_a_restart(after_restarts, name):
    account, old = after_restarts[name]
    account.wait(old + account.known, 60)
    if account.feed.has_history:
        wait_until(lambda: account.state()["polling"]["history"] == "done", 30, "the history", 0.2)
    assert account.unread() == len(account.known)
    assert sorted(account.feed.read(message) for message in account.pushed()) == sorted(account.known)
    account.sound()
    account.stop()
