"""Every sample of every platform through a running hub: signed, sent, stored and shown as it is expected."""

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalogue import NAMES, SAMPLE_CLOCK, connect, platforms, samples, simulate, stopped_hub
from sample_model import Model, seen

# Orders that each platform's samples are sent in.
SEEDS = int(os.environ.get("HUB_TEST_SEEDS", 3))
LANES = 4


@pytest.fixture(scope="module")
def hub():
    """A hub whose clock stands where the samples were written."""
    with stopped_hub("samples", SAMPLE_CLOCK) as hub:
        yield hub


@pytest.fixture(scope="module")
def database(hub):
    with hub.database() as database:
        yield database


def test_every_platform_of_the_catalogue_has_samples():
    assert NAMES == sorted(name for name, one in platforms().items() if one["webhook"])
    assert all(samples(platform) for platform in NAMES)


def check(hub, user, platform, name):
    """Sends one sample to an account of its own. Returns what is not as expected."""
    account = connect(user, platform)
    simulate(hub, platform, account, name)
    model = Model(samples(platform)[name]["expected"])
    shown = {one["externalId"]: one for one in user.conversations(account=account["id"])}
    shown = {key: one for key, one in shown.items() if one["lastMessage"]}
    faults = []
    if sorted(shown) != model.conversations():
        faults.append(f"conversations {sorted(shown)}, expected {model.conversations()}")
    for conversation in model.conversations():
        if conversation in shown:
            faults += differences(user, model, shown[conversation])
    # Some platforms send the account's secret along; nobody may read it there.
    told = json.dumps([user.messages(one["id"]) for one in shown.values()] + user.events())
    faults += ["a secret of the account is shown" for secret in account["secrets"] if json.dumps(secret)[1:-1] in told]
    return [f"{platform}/{name}: {fault}" for fault in faults]


def differences(user, model, conversation):
    key = conversation["externalId"]
    faults = []
    messages = {one["externalId"]: seen(one) for one in user.messages(conversation["id"])}
    expected = model.shown(key)
    if sorted(messages) != sorted(expected):
        faults.append(f"messages {sorted(messages)}, expected {sorted(expected)}")
    for identifier in expected.keys() & messages.keys():
        for member, value in expected[identifier].items():
            if messages[identifier][member] != value:
                faults.append(f"{identifier}.{member} is {messages[identifier][member]}, expected {value}")
    if conversation["unreadCount"] != model.unread(key):
        faults.append(f"{conversation['unreadCount']} unread, expected {model.unread(key)}")
    if conversation["title"] != model.title(key):
        faults.append(f"title {conversation['title']}, expected {model.title(key)}")
    return faults


@pytest.mark.parametrize("platform", NAMES)
def test_each_sample_gives_its_expected_result(hub, platform):
    user = hub.user()
    with ThreadPoolExecutor(LANES) as pool:
        results = pool.map(lambda name: check(hub, user, platform, name), samples(platform))
        faults = [fault for result in results for fault in result]
    assert not faults, "\n".join(faults)


def state(database, account):
    """Everything that is kept for an account, without the hub's ids and times of arrival.

    Messages of one moment and one order hint stand in the order of their arrival (law 6). Which of them is the
    last differs, so of that only the place is kept, and that it is the last of the list.
    """
    queries = {
        "conversations": """
            SELECT c.external_id, c.kind, c.title, c.state, c.last_activity_at, c.last_order,
              c.last_message_id IS NOT DISTINCT FROM (
                SELECT m.id FROM messages m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id
                ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT 1),
              c.peer_read_at, c.peer_read_order, c.pending_count, c.participants, c.participant_count
            FROM conversations c WHERE c.account_id = %s""",
        "aliases": """
            SELECT a.external_id, c.external_id FROM conversation_aliases a
            JOIN conversations c ON c.tenant_id = a.tenant_id AND c.id = a.conversation_id
            WHERE a.account_id = %s""",
        "messages": """
            SELECT c.external_id, m.origin, m.external_id, m.direction, m.kind, m.text, m.sender_id, m.sender_name,
              m.sender_avatar, m.reply_external_id, m.thread_id,
              regexp_replace(m.attachments, '"delivery":"[^"]*",', '', 'g'), m.reactions, m.details, m.preview,
              m.status, m.status_reason, m.sent_at, m.order_hint, m.edited_at, m.deleted_at, m.version
            FROM messages m JOIN conversations c ON c.tenant_id = m.tenant_id AND c.id = m.conversation_id
            WHERE m.account_id = %s""",
        "versions": """
            SELECT m.external_id, v.original, v.at, v.ord, v.kind, v.text, v.attachments, v.details, v.preview
            FROM message_versions v JOIN messages m ON m.tenant_id = v.tenant_id AND m.id = v.message_id
            WHERE m.account_id = %s""",
        "reactions": """
            SELECT m.external_id, r.actor_id, r.emoji, r.actor_name, r.active, r.at, r.ord
            FROM reactions r JOIN messages m ON m.tenant_id = r.tenant_id AND m.id = r.message_id
            WHERE m.account_id = %s""",
        "statuses": """
            SELECT m.external_id, s.status, s.at, s.reason
            FROM statuses s JOIN messages m ON m.tenant_id = s.tenant_id AND m.id = s.message_id
            WHERE m.account_id = %s""",
        "pending": """
            SELECT c.external_id, p.origin, p.external_id, p.kind, p.at, p.ord, p.body
            FROM pending_changes p JOIN conversations c ON c.tenant_id = p.tenant_id AND c.id = p.conversation_id
            WHERE c.account_id = %s""",
        "unread": """
            SELECT c.external_id, s.unread_count, s.read_at
            FROM memberships s JOIN conversations c ON c.tenant_id = s.tenant_id AND c.id = s.conversation_id
            WHERE c.account_id = %s""",
    }
    return {
        name: sorted(map(repr, database.execute(query, (account["id"],)).fetchall()))
        for name, query in queries.items()
    }


def changed(before, after):
    """The lines that differ, for people."""
    lines = []
    for name in before:
        lines += [f"- {name} {line}" for line in before[name] if line not in after[name]]
        lines += [f"+ {name} {line}" for line in after[name] if line not in before[name]]
    return "\n".join(lines)


@pytest.mark.parametrize("platform", NAMES)
def test_all_samples_in_any_order_and_twice_end_the_same(hub, database, platform):
    user = hub.user()
    names = list(samples(platform))
    first = connect(user, platform)
    simulate(hub, platform, first, *names)
    expected = state(database, first)
    simulate(hub, platform, first, *names)
    assert state(database, first) == expected, changed(expected, state(database, first))
    for seed in range(SEEDS):
        account = connect(user, platform)
        chance = random.Random(seed)
        order = names + chance.sample(names, k=len(names) // 3)
        chance.shuffle(order)
        simulate(hub, platform, account, *order)
        found = state(database, account)
        assert found == expected, f"seed {seed}\n{changed(expected, found)}"


def test_after_all_of_it_every_count_is_right(hub):
    hub.command("verify", "unread")
