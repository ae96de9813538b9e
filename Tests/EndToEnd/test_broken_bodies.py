"""Bodies that are signed correctly and are broken, for every platform: nothing crashes, nothing is lost.

What is accepted is a row: a message, or a dead delivery with its reason. Some platforms put their proof into the
body, or bind it to something in the body; what is broken there is refused, and with 401 or 403 only.

HUB_TEST_BODIES is how many bodies are made of each sample, HUB_TEST_SEED begins another series.
"""

import copy
import json
import os
import random
import re
from urllib.parse import parse_qsl, urlencode

import pytest

from catalogue import NAMES, connect, is_form, samples, simulate, text_of

COUNT = int(os.environ.get("HUB_TEST_BODIES", 30))
SEED = int(os.environ.get("HUB_TEST_SEED", 1))
SAMPLES = 3
MEGABYTE = 1 << 20
DEPTH = 512

# Whose proof is not one of the raw bytes, and what it needs of the body. Each must still take what is well formed.
PROVES_BY_CONTENT = {
    "teams": "serviceUrl and channelId have to be those of the token",
    "mattermost": "the token is a member of the body",
    "rocketchat": "the token is a member of the body",
    "zulip": "the token is a member of the body",
    "twilio": "a form is signed by its values",
    "vonage": "an SMS is signed by its values",
    "wechat": "what is encrypted has to open",
    "mailgun": "the signature is a part of the body",
    "teams-graph": "the clientState is a member of the body",
    "zalo": "the time and the app that are signed are members of the body",
}

WRONG = [
    None, True, False, -1, 0.5, 1e300, "", "x\u0000y", [], {}, [None, 1], [{"a": "b"}], 2**63 - 1, -(2**63), 2**64 - 1,
    "é" * 2000, "9" * 400, "2026-13-45T99:99:99Z", "\ud83d\ude00", "<script>", "%s%n", "../../etc/passwd",
]


def nested(depth, inner=1):
    """As text: no parser of ours makes it."""
    return "[" * depth + json.dumps(inner) + "]" * depth


def places(value, path=()):
    """Where a document has values."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for key, child in children:
        yield from places(child, (*path, key))


def with_value(document, path, value):
    """The document with another value at one place."""
    if not path:
        return value
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


MARK = "cut here 5f2c1d7b"


def encoded(document, raw=None):
    """The document's bytes, with `raw` where the mark is."""
    text = json.dumps(document, ensure_ascii=False)
    if raw is not None:
        text = text.replace(json.dumps(MARK), raw)
    return text.encode("utf-8", "surrogatepass")


def of_bytes(body, chance):
    """Cuts and flipped bits."""
    if chance.random() < 0.5:
        return body[: chance.randrange(len(body))]
    flipped = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        flipped[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def of_document(document, chance):
    """Wrong types, nulls and nesting up to the limit and over it."""
    path = chance.choice(list(places(document)))
    if chance.random() < 0.15:
        depth = chance.choice([1, 64, DEPTH - len(path) - 1, DEPTH - len(path), DEPTH + 1, 100_000])
        return encoded(with_value(document, path, MARK), nested(depth))
    return encoded(with_value(document, path, chance.choice(WRONG)))


def of_form(body, chance):
    pairs = parse_qsl(body.decode(), keep_blank_values=True)
    index = chance.randrange(len(pairs))
    value = chance.choice([one for one in WRONG if isinstance(one, str) and "\ud83d" not in one])
    changed = chance.choice([[(pairs[index][0], value)], [(value, pairs[index][1])], [], [pairs[index]] * 3])
    return urlencode(pairs[:index] + changed + pairs[index + 1:]).encode()


def broken(sample, chance):
    """Random variations of a sample's body."""
    body = text_of(sample)
    document = sample["request"].get("body")
    for _ in range(COUNT):
        if chance.random() < 0.35:
            yield of_bytes(body, chance)
        elif document is not None:
            yield of_document(document, chance)
        elif is_form(sample):
            yield of_form(body, chance)
        else:
            yield of_bytes(body, chance)


def large(sample, chance):
    """One text of a megabyte at some place, and many members."""
    if is_form(sample):
        pairs = parse_qsl(text_of(sample).decode(), keep_blank_values=True)
        name = chance.choice(pairs)[0]
        yield urlencode([(key, "x" * MEGABYTE if key == name else value) for key, value in pairs]).encode()
        return
    document = sample["request"].get("body")
    if document is None:
        yield text_of(sample) + b"x" * MEGABYTE
        return
    texts = [path for path in places(document) if path and isinstance(path[-1], str)]
    for path in chance.sample(texts, k=min(2, len(texts))):
        yield encoded(with_value(document, path, "é" * (MEGABYTE // 2)))


NOTHING = [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b"\xff\xfe", b"\x00", b"[" * 100_000, b"a=b", b"<xml/>"]


def counted(hub, platform):
    """The numbers of webhook requests by their outcome."""
    text = hub.session.get(f"{hub.url}/metrics", timeout=10).text
    pattern = rf'^hub_ingest_requests_total{{platform="{platform}",outcome="(\w+)"}} (\d+)'
    return {outcome: int(number) for outcome, number in re.findall(pattern, text, re.MULTILINE)}


@pytest.fixture(scope="module")
def database(hub):
    with hub.database() as database:
        yield database


def kept(database, account):
    """The account's rows of the ledger by state; a dead one says why."""
    rows = database.execute(
        "SELECT state, count(*), bool_and(coalesce(reason, '') <> '') FROM deliveries WHERE account_id = %s "
        "GROUP BY state", (account["id"],)
    ).fetchall()
    assert all(has_reason for state, _, has_reason in rows if state == "dead"), rows
    return {state: number for state, number, _ in rows}


def chosen(platform):
    """Samples of different size, which are of different kinds."""
    names = [name for name, sample in samples(platform).items() if text_of(sample)]
    names.sort(key=lambda name: (len(text_of(samples(platform)[name])), name))
    return names[:: max(1, len(names) // SAMPLES)][:SAMPLES]


@pytest.mark.parametrize("platform", [name for name in NAMES if chosen(name)])
def test_broken_bodies_are_kept_and_harm_nothing(hub, database, platform, tmp_path):
    process = hub.pid
    account = connect(hub.user(), platform)
    before = counted(hub, platform)
    answers = {}
    for name in chosen(platform):
        chance = random.Random(f"{SEED} {platform} {name}")
        sample = samples(platform)[name]
        bodies = [*NOTHING, *broken(sample, chance), *large(sample, chance)]
        folder = tmp_path / name
        folder.mkdir()
        for number, body in enumerate(bodies):
            (folder / f"{number:05d}").write_bytes(body)
        for status, count in simulate(hub, platform, account, name, check=False, body=folder).items():
            answers[status] = answers.get(status, 0) + count

    after = counted(hub, platform)
    outcomes = {name: after[name] - before.get(name, 0) for name in after}
    assert sum(answers.values()) == sum(1 for name in chosen(platform) for _ in (tmp_path / name).iterdir())
    accepted = sum(count for status, count in answers.items() if status and 200 <= status <= 299)
    rows = kept(database, account)
    # Graph wants one answer for all, also for what is refused.
    refused = outcomes["bad_signature"] if platform == "teams-graph" else 0
    assert accepted == sum(rows.values()) + outcomes["handshake"] + refused, (answers, rows, outcomes)
    assert rows.get("dead", 0) > 0 or platform in PROVES_BY_CONTENT, rows
    allowed = {None, 401, 403} if platform in PROVES_BY_CONTENT else set()
    others = {status for status in answers if status is None or not 200 <= status <= 299}
    assert others <= allowed, answers
    assert accepted > 0, answers

    assert hub.pid == process and hub.health().status_code == 200
    simulate(hub, platform, account, chosen(platform)[0])


def test_after_all_of_it_every_count_is_right(hub):
    hub.command("verify", "unread")
