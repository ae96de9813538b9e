"""Every sender against its platform's published contract, with the platform's own library as judge.

The servers stand in `contracts`, one file a platform, written from the documentation and not from the hub.
All cases run at once against one hub; each has an account and a server of its own.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from catalogue import platforms
from contracts import CONTRACTS
from contracts.base import PNG, Fault
from contracts.scene import PICTURE_URL, TEXT, Scene
from hub import Hub, assert_problem, wait_until
from platform_server import CUT, HALF, HANG
from postgres import Cluster

AT_ONCE = 24
HTML = {"Content-Type": "text/html"}
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def can(contract, what):
    return platforms()[contract.platform]["capabilities"][what]


def one_made(scene):
    assert len(scene.contract.made) == 1, [made.call.body for made in scene.contract.made]
    return scene.contract.made[0]


def sent(scene, message, seconds=20):
    """The message was sent, once, and has the platform's id."""
    found = scene.settled(message, "sent", seconds)
    made = one_made(scene)
    assert found["externalId"] == made.id
    scene.check()
    return made


# What a platform is asked.


@case
def text(scene):
    contract = scene.contract
    made = sent(scene, scene.send())
    assert (made.text, made.place, made.files) == (contract.as_written(TEXT), contract.place, [])
    contract.judge()


@case
def longest(scene):
    """As long as the platform takes, in its own count; one more is refused before it is asked."""
    contract = scene.contract
    made = sent(scene, scene.send(contract.longest))
    assert made.text == contract.as_written(contract.longest)
    before = len(contract.calls)
    path = f"/api/conversations/{scene.place}/messages"
    for words in (contract.longest + "y", *contract.too_long):
        response = scene.user.request("POST", path, json={"text": words})
        assert assert_problem(response, 422)["code"] == "text_too_long"
    assert len(contract.calls) == before


@case
def reply(scene):
    made = sent(scene, scene.send(replyTo=scene.inbound["id"], **scene.contract.reply_extras))
    assert made.reply == scene.contract.quoted_id
    assert scene.contract.as_written(TEXT) in made.text
    scene.contract.judge()


@case
def own_answer(scene):
    """What was answered into a thread is itself answered, edited and deleted in it."""
    contract, user = scene.contract, scene.user
    first = scene.send(replyTo=scene.inbound["id"], **contract.reply_extras)
    scene.settled(first, "sent")
    second = scene.send("and more", replyTo=first["id"])
    scene.settled(second, "sent")
    assert [made.reply for made in contract.made] == [contract.quoted_id] * 2
    assert scene.status(first)["threadId"] == scene.status(second)["threadId"] == contract.quoted_id
    user.request("PATCH", f"/api/messages/{first['id']}", expect=202, json={"text": "other"})
    wait_until(lambda: scene.status(first)["text"] == "other", 15, "the edit")
    user.request("DELETE", f"/api/messages/{second['id']}", expect=202)
    wait_until(lambda: scene.status(second)["deletedAt"], 15, "the deletion")
    assert contract.edits == [(contract.made[0].id, contract.as_written("other"))]
    assert contract.deleted == [contract.made[1].id]
    scene.check()


@case
def attachment(scene):
    contract = scene.contract
    words = "a cat" if contract.has_caption else None
    made = sent(scene, scene.send(words, attachments=[scene.attachment()]))
    expected = PNG if contract.files == "upload" else PICTURE_URL
    assert [content for _, content in made.files] == [expected]
    names = {name for name, _ in made.files}
    assert names <= {contract.file_name, None}
    if words:
        assert words in made.text
    contract.judge()


@case
def bare_attachment(scene):
    """A file without a word."""
    contract = scene.contract
    made = sent(scene, scene.send(None, attachments=[scene.attachment()]))
    assert len(made.files) == 1
    assert (made.text or "") == contract.as_written("")
    contract.judge()


@case
def album(scene):
    contract = scene.contract
    made = sent(scene, scene.send("two cats", attachments=[scene.attachment(), scene.attachment()]))
    assert len(made.files) == 2
    assert "two cats" in made.text
    contract.judge()


@case
def reaction(scene):
    contract, path = scene.contract, f"/api/messages/{scene.inbound['id']}/reactions"
    scene.user.request("POST", path, expect=202, json={"emoji": contract.emoji})
    wait_until(lambda: scene.status(scene.inbound)["reactions"], 15, "the reaction")
    scene.user.request("DELETE", path, expect=202, params={"emoji": contract.emoji})
    wait_until(lambda: not scene.status(scene.inbound)["reactions"], 15, "its end")
    wanted = [(contract.inbound_id, contract.emoji, True), (contract.inbound_id, contract.emoji, False)]
    assert contract.reactions == wanted
    scene.check()
    contract.judge()


@case
def edit(scene):
    contract, message = scene.contract, scene.send()
    made = sent(scene, message)
    scene.user.request(
        "PATCH", f"/api/messages/{message['id']}", expect=202, json={"text": "other & <words>"}
    )
    wait_until(lambda: scene.status(message)["text"] == "other & <words>", 15, "the edit")
    assert contract.edits == [(made.id, contract.as_written("other & <words>"))]
    scene.check()
    contract.judge()


@case
def deletion(scene):
    contract, message = scene.contract, scene.send()
    made = sent(scene, message)
    scene.user.request("DELETE", f"/api/messages/{message['id']}", expect=202)
    wait_until(lambda: scene.status(message)["deletedAt"], 15, "the deletion")
    assert contract.deleted == [made.id]
    scene.check()
    contract.judge()


@case
def typing(scene):
    scene.patch(settings={"polling": "off", "typing": True})
    url = f"{scene.hub.url}/api/conversations/{scene.place}/typing"
    headers = {"Authorization": f"Bearer {scene.user.token}"}
    # Each over a connection of its own: the kernel deals them to the hub's loops.
    for count in range(1, 5):
        requests.post(url, json={"isTyping": True}, headers=headers, timeout=15).raise_for_status()
        wait_until(lambda: len(scene.contract.typed) == count, 15, "the sign of typing")
    assert scene.contract.typed == [True] * 4
    scene.check()


@case
def receipt(scene):
    path = f"/api/conversations/{scene.place}/receipt"
    scene.user.request("POST", path, json={"upTo": scene.inbound["id"]}).raise_for_status()
    wait_until(lambda: scene.contract.seen, 15, "the receipt")
    assert scene.contract.seen == [scene.contract.inbound_id]
    scene.check()


@case
def client(scene):
    """The library sends to the same server: what the hub is held to is what the library keeps to."""
    identifier = scene.contract.client()
    assert one_made(scene).id == str(identifier)
    scene.check()


# How it fails.


@case
def broken(scene):
    """500, undone: sent once more where the platform does it once, otherwise nobody knows."""
    scene.contract.tell(scene.contract.broken())
    message = scene.send()
    if scene.contract.does_once:
        sent(scene, message)
    else:
        found = scene.settled(message, "unknown")
        assert found["statusReason"]
        time.sleep(2.5)
        assert len(scene.contract.tries) == 1
        assert scene.contract.made == []
    scene.check()


@case
def unavailable(scene):
    """503 says that nothing was done, and how long it will be so."""
    scene.contract.tell((503, b"<html>busy</html>", {"Content-Type": "text/html", "Retry-After": "1"}))
    sent(scene, scene.send())
    first, second = scene.contract.tries
    assert second.at - first.at >= 1


def once_or_unknown(scene, fault, seconds=20):
    """The platform did it, and its answer does not say so: never done twice, and never called failed."""
    scene.contract.tell(fault)
    message = scene.send()
    if scene.contract.does_once:
        sent(scene, message, seconds)
        assert len(scene.contract.tries) >= 2 or scene.contract.can_be_asked
        return
    found = scene.settled(message, "unknown", seconds)
    assert found["statusReason"]
    time.sleep(2.5)
    assert len(scene.contract.tries) == 1
    assert scene.status(message)["status"] == "unknown"
    scene.check()


@case
def swallowed(scene):
    once_or_unknown(scene, Fault(CUT, done=True))


@case
def hangs(scene):
    """Until the hub's time is up."""
    once_or_unknown(scene, Fault(HANG, done=True), seconds=60)


@case
def gateway(scene):
    once_or_unknown(scene, Fault((502, b"<html>bad gateway</html>", HTML), done=True))


@case
def garbled(scene):
    """Something between says yes in its own words."""
    once_or_unknown(scene, Fault((200, b"<html>welcome</html>", HTML), done=True))


@case
def half(scene):
    """The answer ends early."""
    once_or_unknown(scene, Fault(HALF, done=True))


@case
def echoed(scene):
    """Done, no answer, and the platform tells of it: the same message."""
    contract = scene.contract
    contract.tell(Fault(CUT, done=True))
    message = scene.send()
    scene.settled(message, "unknown")
    count = len(scene.user.messages(scene.place))
    contract.deliver(scene.hub, scene.account, contract.echo(scene.account, one_made(scene)))
    sent(scene, message)
    assert len(scene.user.messages(scene.place)) == count
    assert len(contract.tries) == 1


@case
def steps(scene):
    """A step before the message fails: nothing was said yet, so it is tried again."""
    contract = scene.contract
    contract.step_faults = [contract.broken()]
    words = "a cat" if contract.has_caption else None
    sent(scene, scene.send(words, attachments=[scene.attachment()]))


@case
def second_step(scene):
    scene.contract.step_faults = [None, scene.contract.broken()]
    words = "a cat" if scene.contract.has_caption else None
    sent(scene, scene.send(words, attachments=[scene.attachment()]))
    assert scene.contract.step_faults == []


def change(scene, answer):
    """A change of a message gets this answer once, and is made all the same."""
    contract, message = scene.contract, scene.send()
    made = sent(scene, message)
    contract.next_answers = [answer]
    path = f"/api/messages/{message['id']}"
    if can(contract, "edit") and "edit" not in contract.cannot:
        scene.user.request("PATCH", path, expect=202, json={"text": "other"})
        wait_until(lambda: scene.status(message)["text"] == "other", 30, "the edit")
        assert contract.edits == [(made.id, contract.as_written("other"))]
    else:
        path = f"/api/messages/{scene.inbound['id']}/reactions"
        scene.user.request("POST", path, expect=202, json={"emoji": contract.emoji})
        wait_until(lambda: scene.status(scene.inbound)["reactions"], 30, "the reaction")
        assert contract.reactions == [(contract.inbound_id, contract.emoji, True)]
    assert contract.next_answers == []
    scene.check()


@case
def change_limited(scene):
    """The platform wants the change later."""
    change(scene, next(iter(scene.contract.limits().values())).answer)


@case
def change_broken(scene):
    """To say the same once more changes nothing, so it is said once more."""
    change(scene, scene.contract.broken())


@case
def change_lost(scene):
    change(scene, CUT)


@case
def reply_steps(scene):
    """The same of what is asked about the message that is answered."""
    scene.contract.step_faults = [scene.contract.broken()]
    made = sent(scene, scene.send(replyTo=scene.inbound["id"], **scene.contract.reply_extras))
    assert made.reply == scene.contract.quoted_id


@case
def revoked(scene):
    contract = scene.contract
    contract.revoke()
    message = scene.send()
    found = wait_until(lambda: (m := scene.status(message))["status"] == "failed" and m, 20, "failed")
    assert found["statusReason"] and found["canRetry"] is True
    record = scene.record()
    assert record["state"] == "bad_credentials", record
    assert record["stateReason"] and record["stateAction"], record
    assert contract.made == []
    # With the credential back, what failed can be sent by hand.
    contract.is_revoked = False
    scene.patch(credentials=contract.sending_credentials())
    scene.user.post(f"/api/messages/{message['id']}/retry")
    sent(scene, message)


@case
def expired(scene):
    """The token ends between two messages: a new one is had, once, and nobody notices."""
    contract = scene.contract
    first = scene.send("first")
    scene.settled(first, "sent")
    renewals = contract.renewals
    contract.expire()
    second = scene.send("second")
    scene.settled(second, "sent")
    assert [made.text for made in contract.made] == [
        contract.as_written("first"),
        contract.as_written("second"),
    ]
    assert contract.renewals == renewals + 1
    assert scene.record()["state"] == "connected"
    scene.check()


@case
def renewal_fails(scene):
    """The token ends, and the first try to have a new one fails: the message waits for it."""
    contract = scene.contract
    scene.settled(scene.send("first"), "sent")
    contract.expire()
    contract.step_faults = [(503, b"<html>busy</html>", {"Content-Type": "text/html"})]
    scene.settled(scene.send("second"), "sent")
    assert [made.text for made in contract.made] == [
        contract.as_written("first"),
        contract.as_written("second"),
    ]
    assert contract.step_faults == []
    assert scene.record()["state"] == "connected"
    scene.check()


@case
def refused(scene):
    answer, words = scene.contract.refusal()
    scene.contract.tell(answer)
    message = scene.send()
    found = wait_until(lambda: (m := scene.status(message))["status"] == "failed" and m, 20, "failed")
    assert words in found["statusReason"]
    assert found["canRetry"] is False
    assert len(scene.contract.tries) == 1
    # It is about the message and not about the account.
    assert scene.record()["state"] == "connected"
    scene.check()


def limited(form):
    def run(scene):
        limit = scene.contract.limits()[form]
        scene.contract.tell(limit.answer)
        sent(scene, scene.send())
        assert scene.record()["state"] == "connected"
        first, second = scene.contract.tries
        waited = second.at - first.at
        assert waited >= limit.seconds - 0.02, f"waited {waited} s"
        # The outbox looks for what is due every second.
        assert waited <= (limit.most or limit.seconds + 4), f"waited {waited} s"

    return run


def can_change(contract):
    return can(contract, "react") or (can(contract, "edit") and "edit" not in contract.cannot)


def does(contract, name):
    """Whether a case is one for the platform."""
    if name in contract.cannot or contract.only is not None and name not in contract.only:
        return False
    if name == "longest":
        return contract.longest is not None
    if name == "client":
        return contract.client is not contract.__mro__[-2].client
    needs = {"reply": "quote", "reaction": "react", "edit": "edit", "deletion": "delete"}
    if name in needs:
        return can(contract, needs[name])
    return {
        "attachment": contract.files is not None,
        "bare_attachment": contract.files is not None and contract.has_caption,
        "album": contract.has_albums,
        "steps": contract.has_steps,
        "second_step": contract.has_second_step,
        "change_limited": can_change(contract),
        "change_broken": can_change(contract),
        "change_lost": can_change(contract),
        "echoed": contract.has_echo,
        "typing": contract.has_typing,
        "receipt": contract.has_receipts,
        "expired": contract.has_tokens,
        "renewal_fails": contract.has_tokens,
        # It takes half a minute: one that does a thing once, and one that does not.
        "hangs": contract.platform in ("telegram", "custom"),
        "reply_steps": contract.has_reply_steps,
        "own_answer": contract.has_threads,
    }.get(name, True)


def every():
    for platform, contract in CONTRACTS.items():
        yield from ((platform, name) for name in CASES if does(contract, name))
        if contract.only is not None:
            continue
        made = contract()
        yield from ((platform, f"limit-{form}") for form in made.limits())
        made.close()


def run_case(hub, platform, name):
    scene = Scene(hub, CONTRACTS[platform]())
    try:
        (limited(name.removeprefix("limit-")) if name.startswith("limit-") else CASES[name])(scene)
    finally:
        scene.close()


@pytest.fixture(scope="module")
def hub():
    with Cluster("senders", durable=False) as cluster:
        hub = Hub("senders", DATABASE_URL=cluster.url)
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=AT_ONCE)
        hub.session.mount("http://", adapter)
        try:
            yield hub.start()
            assert hub.process.poll() is None, f"the hub ended:\n{hub.log_tail(60)}"
        finally:
            hub.close()


@pytest.fixture(scope="module")
def outcomes(request, hub):
    """All chosen cases at once; a test waits for its own."""
    chosen = [
        (one.callspec.params["platform"], one.callspec.params["name"])
        for one in request.session.items
        if one.module is request.module and hasattr(one, "callspec")
    ]
    # What takes long begins first.
    chosen.sort(key=lambda one: (one[1] != "hangs", one[0] not in ("reddit", "bluesky")))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(platform, name): pool.submit(run_case, hub, platform, name) for platform, name in chosen}


@pytest.mark.parametrize(("platform", "name"), [pytest.param(*one, id="-".join(one)) for one in every()])
def test_a_sender_keeps_to_the_contract(hub, outcomes, platform, name):
    outcomes[platform, name].result()
