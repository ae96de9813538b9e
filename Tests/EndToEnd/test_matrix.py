"""A hub and a real homeserver: what is said in rooms comes in once, what is sent goes out once.

Everything between the two goes through a gateway, which shows what was asked for, and loses answers where a test says
so. The application service's transactions come straight from the homeserver.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import SimpleNamespace

import pytest

from attachments import fetch
from attachments import settled as kept
from hub import wait_until
from synapse import NAME, Client, Gateway, Synapse

PICTURE = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))
# The hub takes a hundred of a room at once.
GAP = 104


@pytest.fixture(scope="module")
def scene(hub):
    """The homeserver knows one account as an application service: that is made first."""
    synapse = Synapse()
    gateway = Gateway(synapse.url)
    try:
        owner = hub.user()
        service = connect(owner, gateway, userId=[f"@bot:{NAME}", "@bot_*"])
        tokens = service["generatedCredentials"]
        synapse.start(registration(hub, service, tokens)).wait_ready()
        bot = Client(synapse, f"@bot:{NAME}", tokens["asToken"])
        yield SimpleNamespace(synapse=synapse, gateway=gateway, owner=owner, service=service, bot=bot)
    finally:
        gateway.server.close()
        synapse.close()


def registration(hub, account, tokens):
    return {
        "id": "hub",
        "url": f"{hub.url}/webhooks/matrix/{account['accountKey']}",
        "as_token": tokens["asToken"],
        "hs_token": tokens["hsToken"],
        "sender_localpart": "bot",
        "rate_limited": False,
        "receive_ephemeral": True,
        "namespaces": {"users": [{"exclusive": True, "regex": f"@bot_.*:{NAME}"}]},
    }


def connect(user, gateway, settings=None, **credentials):
    body = {"platform": "matrix", "name": "Rooms", "credentials": {"homeserver": gateway.url} | credentials}
    return user.post("/api/accounts", body | {"settings": {"typing": True} | (settings or {})}, expect=201)


def polled(user, scene, client, **settings):
    """An account that is this user, and is read from now on."""
    account = connect(user, scene.gateway, settings, accessToken=client.token)
    scene.gateway.wait_polled(client)
    return account


def found(user, account, room):
    """The room's conversation."""
    places = [c for c in user.conversations(account=account["id"]) if c["externalId"] == room.id]
    assert len(places) <= 1
    return places[0] if places else None


def said(user, account, room):
    """What people said in a room, oldest first."""
    place = found(user, account, room)
    messages = user.messages(place["id"]) if place else []
    return [message for message in reversed(messages) if message["kind"] != "system"]


def texts(user, account, room):
    return [message["text"] for message in said(user, account, room)]


def named(user, account, room, event):
    """The message of an event, by its id there."""
    matches = [m for m in said(user, account, room) if m["externalId"] == event]
    assert len(matches) <= 1
    return matches[0] if matches else None


def begun(user, account, room, peer):
    """A conversation with one message of the peer's: the conversation's id and the message."""
    event = peer.say(room, "hello")
    message = wait_until(lambda: named(user, account, room, event), 15, "the first message")
    return found(user, account, room)["id"], message


def send(user, place, text=None, **more):
    body = ({"text": text} if text is not None else {}) | more
    return user.request("POST", f"/api/conversations/{place}/messages", expect=201, json=body).json()


def state(user, message):
    return user.get(f"/api/messages/{message['id']}")


def settled(user, message, wanted="sent", seconds=15):
    return wait_until(lambda: (m := state(user, message))["status"] == wanted and m, seconds, f"status {wanted}")


def pushes(user):
    return [e["data"]["message"]["externalId"] for e in user.events() if e["type"] == "new_message"]


def bodies(client, room):
    return [event["content"].get("body") for event in client.events(room)]


# What comes in.


def test_what_is_said_in_a_room_comes_in_once(hub, scene):
    user, me, peer = hub.user(), scene.synapse.user("me"), scene.synapse.user("peer")
    room = peer.room(me, name="Kitchen")
    account = polled(user, scene, me)
    first = peer.say(room, "one 👋")
    shown, uri = peer.show(room, "cat.png", PICTURE)
    answer = peer.say(room, "two", {"m.in_reply_to": {"event_id": first}})
    thread = peer.say(room, "three", {"rel_type": "m.thread", "event_id": first})
    gone = peer.say(room, "gone")
    peer.edit(room, thread, "three again")
    peer.react(room, first, "👍")
    taken = peer.react(room, first, "🎉")
    wait_until(lambda: len(said(user, account, room)) == 5, 15, "five messages")
    wait_until(lambda: len(named(user, account, room, first)["reactions"]) == 2)
    peer.redact(room, taken)
    peer.redact(room, gone)
    wait_until(lambda: named(user, account, room, gone)["deletedAt"])
    wait_until(lambda: len(named(user, account, room, first)["reactions"]) == 1)

    messages = said(user, account, room)
    assert [m["externalId"] for m in messages] == [first, shown, answer, thread, gone]
    assert [m["text"] for m in messages[:4]] == ["one 👋", None, "two", "three again"]
    assert {m["direction"] for m in messages} == {"inbound"}
    assert {m["sender"]["name"] for m in messages} == {peer.name}
    assert [r["emoji"] for r in messages[0]["reactions"]] == ["👍"]
    (picture,) = messages[1]["attachments"]
    assert (picture["kind"], picture["name"], picture["size"]) == ("image", "cat.png", len(PICTURE))
    assert fetch(user, kept(user, messages[1], "stored")["url"]).content == PICTURE and uri not in str(messages)
    assert messages[2]["replyTo"]["id"] == messages[0]["id"]
    assert messages[3]["threadId"] == first and messages[3]["editedAt"]
    assert sorted(pushes(user)) == sorted(m["externalId"] for m in messages)


def test_who_is_there_and_what_a_room_is_called(hub, scene):
    user, me, peer, third = hub.user(), *(scene.synapse.user(n) for n in ("me", "peer", "third"))
    room = peer.room(me, name="Kitchen")
    account = connect(user, scene.gateway, accessToken=me.token, joinInvites="true")
    scene.gateway.wait_polled(me)
    begun(user, account, room, peer)
    assert found(user, account, room)["title"] == "Kitchen"
    peer.call("PUT", f"rooms/{room.path}/state/m.room.name", {"name": "Garden"})
    wait_until(lambda: found(user, account, room)["title"] == "Garden", what="the new name")
    peer.call("POST", f"rooms/{room.path}/invite", {"user_id": third.id})
    third.join(room)
    wait_until(lambda: third.id in people(user, account, room), what="the third to be there")
    third.leave(room)
    wait_until(lambda: third.id not in people(user, account, room), what="the third to be gone")
    # A room that comes into being while the account is read: it goes where it is asked to.
    later = peer.room(invite=[me.id], name="Cellar")
    wait_until(lambda: later.id in me.call("GET", "joined_rooms")["joined_rooms"], what="the invitation to be taken")
    begun(user, account, later, peer)
    assert found(user, account, later)["title"] == "Cellar"
    assert said(user, account, later)[0]["sender"]["name"] == peer.name


def people(user, account, room):
    return {person["id"] for person in found(user, account, room)["participants"]}


def test_the_past_comes_with_its_times_unread_by_nobody(hub, scene):
    user, me, peer = hub.user(), scene.synapse.user("me"), scene.synapse.user("peer")
    room = peer.room(me, name="Attic")
    for number in range(5):
        peer.say(room, f"old {number}")
    me.say(room, "mine")
    account = connect(user, scene.gateway, {"historyDays": 7}, accessToken=me.token)
    # Nobody says anything meanwhile: a poll that waits for news does not hold up the past.
    wait_until(lambda: len(said(user, account, room)) == 6, 10, "six messages")
    messages = said(user, account, room)
    there = peer.events(room)
    assert [m["externalId"] for m in messages] == [event["event_id"] for event in there]
    assert [milliseconds(m["sentAt"]) for m in messages] == [event["origin_server_ts"] for event in there]
    assert [m["direction"] for m in messages] == ["inbound"] * 5 + ["outbound"]
    assert user.unread()["totalUnread"] == 0
    assert pushes(user) == []
    assert found(user, account, room)["title"] == "Attic"
    peer.say(room, "new")
    wait_until(lambda: user.unread()["totalUnread"] == 1, 15)
    assert len(pushes(user)) == 1


def milliseconds(text):
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def test_a_restart_and_a_gap_lose_and_double_nothing(hub, scene):
    """More is said while the hub is away than one sync tells: the rest is read page by page."""
    user, me, peer = hub.user(), scene.synapse.user("me"), scene.synapse.user("peer")
    room = peer.room(me)
    account = polled(user, scene, me)
    begun(user, account, room, peer)
    first = peer.say(room, "before")
    # At once when the homeserver tells, or after the restart.
    hub.stop()
    with ThreadPoolExecutor(8) as pool:
        events = list(pool.map(lambda number: peer.say(room, f"while away {number}"), range(GAP)))
    peer.edit(room, events[0], "changed")
    peer.react(room, events[1], "👍")
    peer.redact(room, events[2])
    hub.start()
    wait_until(lambda: len(said(user, account, room)) == GAP + 1, 25, f"{GAP + 2} messages, but the deleted")
    there = [event["event_id"] for event in peer.events(room) if event["content"]]
    there.remove(next(e["event_id"] for e in peer.events(room) if e["content"].get("body") == "* changed"))
    assert [m["externalId"] for m in said(user, account, room)] == there
    assert first in there and events[2] not in there
    wait_until(lambda: named(user, account, room, events[0])["text"] == "changed")
    wait_until(lambda: named(user, account, room, events[1])["reactions"])
    assert user.unread()["totalUnread"] == GAP + 1
    assert sorted(pushes(user)) == sorted(there)
    assert any(call.query.get("dir") == "b" for call in scene.gateway.calls("/messages", me))


# What goes out.


def test_what_is_sent_is_in_the_room_once(hub, scene):
    user, me, peer = hub.user(), scene.synapse.user("me"), scene.synapse.user("peer")
    room = peer.room(me)
    account = polled(user, scene, me)
    place, hello = begun(user, account, room, peer)
    message = send(user, place, "Grüße 👋")
    sent = settled(user, message)
    (event,) = [e for e in peer.events(room) if e["content"]["body"] == "Grüße 👋"]
    assert (event["sender"], event["event_id"]) == (me.id, sent["externalId"])
    answer = settled(user, send(user, place, "an answer", replyTo=hello["id"]))
    thread = settled(user, send(user, place, "in a thread", threadId=hello["externalId"]))
    upload = hub.request(
        "POST", "/api/uploads?name=cat.png", token=user.token, data=PICTURE, headers={"Content-Type": "image/png"}
    ).json()
    shown = settled(user, send(user, place, "a cat", attachments=[{"uploadId": upload["uploadId"]}]))
    contents = {e["event_id"]: e["content"] for e in peer.events(room)}
    assert contents[answer["externalId"]]["m.relates_to"] == {"m.in_reply_to": {"event_id": hello["externalId"]}}
    relation = contents[thread["externalId"]]["m.relates_to"]
    assert (relation["rel_type"], relation["event_id"]) == ("m.thread", hello["externalId"])
    picture = contents[shown["externalId"]]
    assert (picture["msgtype"], picture["body"], picture["filename"]) == ("m.image", "a cat", "cat.png")
    assert peer.download(picture["url"]) == PICTURE
    # Echoes of all have come when what was said after them has.
    last = peer.say(room, "that was all")
    wait_until(lambda: named(user, account, room, last), 15)
    assert [m["externalId"] for m in said(user, account, room)] == list(contents) + [last]
    # The peer's receipt.
    peer.read(room, shown["externalId"])
    for one in (message, answer, shown):
        settled(user, one, "read")


def test_changes_typing_and_receipts_arrive(hub, scene):
    user, me, peer = hub.user(), scene.synapse.user("me"), scene.synapse.user("peer")
    room = peer.room(me)
    account = polled(user, scene, me)
    place, hello = begun(user, account, room, peer)
    check_changes(user, account, place, hello, room, peer, me.id)
    assert [m["text"] for m in said(user, account, room) if not m["deletedAt"]] == ["hello", "I see"]


def check_changes(user, account, place, hello, room, peer, own):
    """What is done from the hub is seen by the peer's client."""
    message = settled(user, send(user, place, "first"))
    user.request("PATCH", f"/api/messages/{message['id']}", expect=202, json={"text": "second"})
    edits = wait_until(lambda: replacing(peer, room, message["externalId"]), what="the edit")
    assert [edit["m.new_content"]["body"] for edit in edits] == ["second"]
    wait_until(lambda: state(user, message)["text"] == "second")

    path = f"/api/messages/{hello['id']}/reactions"
    user.request("POST", path, expect=202, json={"emoji": "👍"})
    wait_until(lambda: signs(peer, room, hello["externalId"]) == [(own, "👍")], what="the reaction")
    after = peer.say(room, "I see")
    wait_until(lambda: state(user, hello)["reactions"])
    # Its echo has come when what was said after it has.
    wait_until(lambda: named(user, account, room, after), 15)
    assert [(r["emoji"], r["count"]) for r in state(user, hello)["reactions"]] == [("👍", 1)]
    user.request("DELETE", path, expect=202, params={"emoji": "👍"})
    wait_until(lambda: signs(peer, room, hello["externalId"]) == [], what="its end")
    wait_until(lambda: state(user, hello)["reactions"] == [])

    user.request("DELETE", f"/api/messages/{message['id']}", expect=202)
    wait_until(lambda: body(peer, room, message["externalId"]) is None, what="the deletion")
    wait_until(lambda: state(user, message)["deletedAt"])

    user.post(f"/api/conversations/{place}/typing", {"isTyping": True}, expect=204)
    wait_until(lambda: peer.ephemeral(room, "m.typing").get("user_ids") == [own], what="typing")
    user.post(f"/api/conversations/{place}/typing", {"isTyping": False}, expect=204)
    wait_until(lambda: not peer.ephemeral(room, "m.typing").get("user_ids"), what="the end of typing")
    user.post(f"/api/conversations/{place}/receipt", {}, expect=202)
    wait_until(lambda: own in readers(peer, room, after), what="the receipt")


def body(client, room, event):
    return next(e["content"].get("body") for e in client.events(room) if e["event_id"] == event)


def replacing(client, room, event):
    contents = [e["content"] for e in client.events(room)]
    return [c for c in contents if c.get("m.relates_to", {}).get("event_id") == event and "m.new_content" in c]


def signs(client, room, event):
    """Who reacted to an event and how, without what was taken back."""
    found = [(e["sender"], e["content"].get("m.relates_to", {})) for e in client.events(room, "m.reaction")]
    return [(sender, relation["key"]) for sender, relation in found if relation.get("event_id") == event]


def readers(client, room, event):
    return client.ephemeral(room, "m.receipt").get(event, {}).get("m.read", {})


def test_lost_answers_and_a_crash_send_nothing_twice(hub, scene):
    """The homeserver has both messages and told nobody, when the hub is killed. Of one the hub reads in its next sync;
    of the other it does not, and sends it again."""
    user, peer = hub.user(), scene.synapse.user("peer")
    heard, deaf = scene.synapse.user("heard"), scene.synapse.user("deaf")
    lost, again = set(), threading.Event()

    def loses(call):
        token = call.headers["authorization"].split()[1]
        if call.method == "PUT":
            if token not in lost:
                lost.add(token)
                return True
            again.set()
        elif token == deaf.token and token in lost:
            again.wait(20)
        return False

    ends = []
    for client in (heard, deaf):
        room = peer.room(client)
        account = polled(user, scene, client)
        ends.append((client, room, account, begun(user, account, room, peer)[0]))
    scene.gateway.loses = loses
    try:
        messages = [send(user, place, "once") for _, _, _, place in ends]
        for _, room, _, _ in ends:
            wait_until(lambda: "once" in bodies(peer, room), 15, "the message in the room")
        settled(user, messages[0])
        assert state(user, messages[1])["status"] != "sent"
        hub.kill()
        hub.start()
        sent = [settled(user, message, seconds=30) for message in messages]
    finally:
        scene.gateway.loses = lambda call: False
    for (client, room, account, _), message, times in zip(ends, sent, (1, 2)):
        last = peer.say(room, "after")
        wait_until(lambda: named(user, account, room, last), 20)
        assert bodies(peer, room) == texts(user, account, room) == ["hello", "once", "after"]
        assert peer.events(room)[1]["event_id"] == message["externalId"]
        puts = [call.path for call in scene.gateway.calls("", client) if call.method == "PUT"]
        assert len(puts) == times and len(set(puts)) == 1


# As an application service.


def served(scene, peer):
    """A room with the service's own user."""
    room = peer.room(invite=[scene.bot.id])
    scene.bot.join(room)
    return room


def test_a_service_is_told_and_answers(hub, scene):
    user, account, bot, peer = scene.owner, scene.service, scene.bot, scene.synapse.user("peer")
    room = served(scene, peer)
    place, hello = begun(user, account, room, peer)
    assert hello["direction"] == "inbound"
    shown, uri = peer.show(room, "cat.png", PICTURE)
    edited = peer.say(room, "draft")
    peer.edit(room, edited, "final")
    peer.react(room, edited, "👍")
    gone = peer.say(room, "gone")
    peer.redact(room, gone)
    wait_until(lambda: (m := named(user, account, room, gone)) and m["deletedAt"], 15)
    wait_until(lambda: named(user, account, room, edited)["text"] == "final")
    wait_until(lambda: named(user, account, room, edited)["reactions"])
    picture = kept(user, named(user, account, room, shown), "stored")
    assert fetch(user, picture["url"]).content == PICTURE and uri not in str(picture)
    check_changes(user, account, place, hello, room, peer, bot.id)
    message = settled(user, send(user, place, "from the service"))
    last = peer.say(room, "that was all")
    wait_until(lambda: named(user, account, room, last), 15)
    there = [e["event_id"] for e in peer.events(room) if "m.new_content" not in e["content"]]
    assert [m["externalId"] for m in said(user, account, room)] == there
    peer.read(room, message["externalId"])
    settled(user, message, "read")


def test_users_of_the_service_speak_for_it(hub, scene):
    """What users of the namespace write is outbound, and nothing is lost while the hub is away."""
    user, account, peer = scene.owner, scene.service, scene.synapse.user("peer")
    room = served(scene, peer)
    ghost = scene.bot.service_user("bot_ana")
    peer.call("POST", f"rooms/{room.path}/invite", {"user_id": ghost.id})
    ghost.join(room)
    begun(user, account, room, peer)
    event = ghost.say(room, "I am one of you")
    message = wait_until(lambda: named(user, account, room, event), 15)
    assert message["direction"] == "outbound"
    hub.kill()
    missed = [peer.say(room, f"missed {number}") for number in range(3)]
    hub.start()
    wait_until(lambda: named(user, account, room, missed[2]), 30, "what came meanwhile")
    assert texts(user, account, room) == ["hello", "I am one of you"] + [f"missed {n}" for n in range(3)]
