"""What the account did from the hub, and the platform's word of it, count once, whichever is known first."""

import secrets
import time

import pytest

import test_sweep as slack
from feeds import rocketchat
from hub import wait_until
from platform_server import PlatformServer

CHANGES = {"chat.update", "reactions.add", "reactions.remove"}


class Workspace:
    """Slack's side of changes. `before` is called before a change is answered: its echo overtakes the answer."""

    def __init__(self):
        self.team = "T" + secrets.token_hex(4).upper()
        self.before = None
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        method = call.path.rsplit("/", 1)[1]
        if method == "auth.test":
            return 200, {"ok": True, "team_id": self.team, "user_id": slack.BOT, "bot_id": "B1"}
        if method in CHANGES and self.before:
            self.before(method)
        return 200, {"ok": True, "channel": slack.CHANNEL, "ts": "1795000000.000001", "message": {"text": "x"}}


@pytest.fixture
def scene(hub, user):
    workspace = Workspace()
    account, secret = slack.connect(hub, user, workspace)
    number = 0

    def say(message):
        nonlocal number
        number += 1
        stamp = f"{int(time.time())}.{number:06d}"
        slack.event(hub, account, secret, {"ts": stamp, "user": slack.PERSON} | message)
        return message.get("ts", stamp)

    ours = say({"type": "message", "text": "ours", "user": slack.BOT})
    theirs = say({"type": "message", "text": "theirs"})
    (conversation,) = user.conversations(account=account["id"])
    found = {message["externalId"]: message for message in user.messages(conversation["id"])}
    return workspace, say, found[ours], found[theirs]


def reaction(message, emoji="thumbsup", user=slack.BOT, kind="reaction_added"):
    item = {"type": "message", "channel": slack.CHANNEL, "ts": message["externalId"]}
    return {"type": kind, "reaction": emoji, "user": user, "item": item}


def edit(message, text):
    inner = {"type": "message", "ts": message["externalId"], "user": slack.BOT, "text": text,
             "edited": {"user": slack.BOT, "ts": f"{int(time.time())}.000000"}}
    before = {name: value for name, value in inner.items() if name != "edited"}
    return {"type": "message", "subtype": "message_changed", "message": inner, "previous_message": before}


def state(user, message):
    return user.get(f"/api/messages/{message['id']}")


def job(hub, user, message):
    """Waits for the jobs of a message."""
    def over():
        with hub.database() as database:
            query = "SELECT count(*) FROM outbox WHERE message_id = %s AND state <> 'done'"
            return database.execute(query, [message["id"]]).fetchone() == (0,)

    wait_until(over, 20)


@pytest.mark.parametrize("overtakes", [False, True])
def test_a_reaction_counts_once(hub, user, scene, overtakes):
    workspace, say, _, theirs = scene
    path = f"/api/messages/{theirs['id']}/reactions"
    if overtakes:
        workspace.before = lambda method: say(reaction(theirs))
    user.request("POST", path, expect=202, json={"emoji": "👍"})
    wait_until(lambda: state(user, theirs)["reactions"])
    job(hub, user, theirs)
    say(reaction(theirs))
    say(reaction(theirs, user=slack.PERSON))
    (found,) = state(user, theirs)["reactions"]
    assert found["count"] == 2
    assert {actor["id"] for actor in found["actors"]} == {"own", slack.PERSON}

    workspace.before = None
    user.request("DELETE", path, expect=202, params={"emoji": "👍"})
    job(hub, user, theirs)
    say(reaction(theirs, kind="reaction_removed"))
    (found,) = state(user, theirs)["reactions"]
    assert [actor["id"] for actor in found["actors"]] == [slack.PERSON]


@pytest.mark.parametrize("overtakes", [False, True])
def test_an_edit_counts_once(hub, user, scene, overtakes):
    workspace, say, ours, _ = scene
    if overtakes:
        workspace.before = lambda method: say(edit(ours, "second"))
    user.request("PATCH", f"/api/messages/{ours['id']}", expect=202, json={"text": "second"})
    wait_until(lambda: state(user, ours)["text"] == "second")
    job(hub, user, ours)
    say(edit(ours, "second"))
    assert state(user, ours)["version"] == ours["version"] + 1
    # Somebody edits it in Slack, and it is edited back here.
    time.sleep(1.1)
    say(edit(ours, "third"))
    assert (state(user, ours)["text"], state(user, ours)["version"]) == ("third", ours["version"] + 2)
    workspace.before = None
    user.request("PATCH", f"/api/messages/{ours['id']}", expect=202, json={"text": "second"})
    wait_until(lambda: state(user, ours)["text"] == "second")
    assert state(user, ours)["version"] == ours["version"] + 3


class RocketChat(rocketchat.Feed):
    """The same server, where reactions can be set: they name people by their user names."""

    def route(self, call):
        if (call.method, call.path) != ("POST", "/api/v1/chat.react"):
            return super().route(call)
        message = next(one for room in self.messages.values() for one in room if one["_id"] == call.json["messageId"])
        self.put(message, "hub", call.json["emoji"], call.json["shouldReact"])
        return 200, {"success": True}

    def put(self, message, name, emoji, is_set):
        reactions = message.setdefault("reactions", {})
        names = [one for one in reactions.pop(emoji, {"usernames": []})["usernames"] if one != name]
        if names or is_set:
            reactions[emoji] = {"usernames": names + [name] * is_set}
        message["_updatedAt"] = rocketchat.moment(self.stamp())


def test_a_reaction_that_a_poller_reads_back_counts_once(hub, user):
    feed = RocketChat()
    with feed.server:
        body = {"platform": "rocketchat", "name": "Chat", "credentials": feed.credentials(), "settings": feed.settings}
        account = user.post("/api/accounts", body, expect=201)
        wait_until(lambda: user.get(f"/api/accounts/{account['id']}")["polling"]["polledAt"], 20, "the first poll")
        said = feed.say("theirs")
        (place,) = wait_until(lambda: user.conversations(account=account["id"]), 20, "the message")
        (message,) = user.messages(place["id"])
        user.request("POST", f"/api/messages/{message['id']}/reactions", expect=202, json={"emoji": "👍"})
        wait_until(lambda: state(user, message)["reactions"], 10)
        with feed.lock:
            feed.put(said, "ada", ":heart:", True)
            feed.put(said, "ada", ":+1:", True)
        wait_until(lambda: len(state(user, message)["reactions"]) == 2, 20, "Ada's reactions")
        found = {one["emoji"]: {actor["id"] for actor in one["actors"]} for one in state(user, message)["reactions"]}
        assert found == {"👍": {"own", "ada"}, "❤️": {"ada"}}, state(user, message)["reactions"]
        assert {one["emoji"]: one["count"] for one in state(user, message)["reactions"]} == {"👍": 2, "❤️": 1}
        # The account takes it back in Rocket.Chat itself, where it was its last.
        with feed.lock:
            feed.put(said, "hub", ":+1:", False)
        actors = lambda: {actor["id"] for one in state(user, message)["reactions"] for actor in one["actors"]}
        wait_until(lambda: actors() == {"ada"}, 20, "its end")
        assert feed.violations == []
