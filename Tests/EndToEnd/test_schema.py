"""The schema and its SQL functions, proved against a PostgreSQL of their own."""

import json
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pg_fixture import cluster  # noqa: F401 (a fixture)
from schema_model import Hub, at, change, message, new_id


@pytest.fixture(scope="module")
def url(cluster):  # noqa: F811
    return cluster.database("hub")


@pytest.fixture
def hub(url):
    hub = Hub(url)
    yield hub
    drift = hub.drift()
    hub.close()
    assert drift == []


def types(events, user=None):
    return [e["type"] for e in events if user is None or e["user_id"] == user]


def listing(hub, user, **more):
    q = dict(platform=None, state=None, unread=None, account=None, before_at=None, before_id=None, lim=50) | more
    rows = hub.read(user, "SELECT * FROM list_conversations(%s,%s,%s,%s,%s,%s,%s,%s,%s)", hub.tenant, user, *q.values())
    return [json.loads(r["data"]) for r in rows]


def messages(hub, user, conversation, mode="last", anchor=None, lim=500):
    rows = hub.read(user, "SELECT * FROM list_messages(%s,%s,%s,%s,%s,%s)", hub.tenant, user, conversation, mode, anchor,
                    lim)
    return [json.loads(r["data"]) for r in rows]


def by_ext(hub, user, conversation):
    return {m["externalId"]: m for m in messages(hub, user, conversation)}


# --- Storing


def test_a_message_is_one_row_and_three_events(hub):
    account = hub.account("ann")
    events = hub.ingest(account, [[message(1, sender=("u-1", 'Zoë "Z" \\ 🙂'), text="a\n\"b\"\t🙂", sender_avatar="https://x/a")]])
    assert types(events) == ["new_message", "conversation_update", "unread_count_update"]
    assert [e["seq"] for e in events] == [1, 2, 3]
    m = events[0]["data"]["message"]
    assert m["text"] == "a\n\"b\"\t🙂"
    assert m["sender"] == {"id": "u-1", "name": 'Zoë "Z" \\ 🙂', "avatar": "https://x/a"}
    assert m["sentAt"] == "2026-11-21T10:00:01.000Z" and m["direction"] == "inbound"
    assert m["attachments"] == [] and m["reactions"] == [] and m["replyTo"] is None and m["status"] is None
    c = events[0]["data"]["conversation"]
    assert c["unreadCount"] == 1 and c["lastMessage"]["id"] == m["id"] and c["state"] == "open"
    assert c["participants"] == [{"id": "u-1", "name": 'Zoë "Z" \\ 🙂', "avatar": "https://x/a"}]
    assert events[2]["data"] == {"unreadCounts": {"telegram": 1}, "totalUnread": 1}
    assert messages(hub, "ann", c["id"]) == [m]
    assert listing(hub, "ann") == [c]
    logged = hub.read("ann", "SELECT * FROM list_events(%s,%s,0,100)", hub.tenant, "ann")
    assert [json.loads(e["data"]) for e in logged] == [e["data"] for e in events]
    assert [e["at"] for e in logged] == [e["at"] for e in events]


def test_a_repetition_changes_nothing(hub):
    account = hub.account("ann")
    assert hub.ingest(account, [[message(1)], [message(1)]])
    delivery = new_id()
    assert hub.ingest(account, [[message(1)], []], ids=[delivery, new_id()]) == []
    assert hub.value("SELECT count(*) FROM messages WHERE tenant_id = %s", hub.tenant) == 1
    assert hub.value("SELECT message_count FROM deliveries WHERE id = %s", delivery) == 0
    assert hub.unread("ann") == {"unreadCounts": {"telegram": 1}, "totalUnread": 1}


def test_a_hundred_repetitions_from_eight_connections_are_one_message(hub):
    account = hub.account("ann")
    events = []

    def post(_):
        with psycopg.connect(hub.url, autocommit=True, options="-c role=hub_writer",
                             row_factory=psycopg.rows.dict_row) as connection:
            for _ in range(13):
                events.extend(hub.ingest(account, [[message(1)]], connection=connection))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, range(8)))
    assert types(events) == ["new_message", "conversation_update", "unread_count_update"]


def test_a_dead_delivery_is_kept_without_items(hub):
    account = hub.account("ann")
    assert hub.ingest(account, [[]]) == []
    assert hub.value("SELECT count(*) FROM deliveries WHERE tenant_id = %s", hub.tenant) == 1


def test_a_replayed_delivery_counts_what_was_new(hub):
    account = hub.account("ann")
    delivery = new_id()
    hub.ingest(account, [[message(1)]], ids=[delivery])
    hub.ingest(account, [[message(1), message(2)]], ids=[delivery])
    rows = hub.rows("SELECT message_count, item_count FROM deliveries WHERE id = %s", delivery)
    assert rows == [{"message_count": 2, "item_count": 2}]


def test_writers_of_one_user_never_deadlock_and_number_without_a_gap(hub):
    accounts = [hub.account("ann") for _ in range(4)]
    for account in accounts:
        hub.user("bob")
        hub.writer.execute("SELECT share_account(%s, %s, %s)", (hub.tenant, account[0], "bob"))
    barrier = threading.Barrier(4)

    def write(account):
        with psycopg.connect(hub.url, autocommit=True, options="-c role=hub_writer",
                             row_factory=psycopg.rows.dict_row) as connection:
            barrier.wait()
            for n in range(30):
                hub.ingest(account, [[message(n * 3 + k, conv=f"c{k}")] for k in range(3)], connection=connection)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, accounts))
    for user in ("ann", "bob"):
        seqs = [r["seq"] for r in hub.rows("SELECT seq FROM events WHERE tenant_id=%s AND user_id=%s ORDER BY seq",
                                           hub.tenant, user)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert hub.unread(user)["totalUnread"] == 360


def test_sharing_while_conversations_are_made_forgets_no_membership(hub):
    account = hub.account("ann")
    users = [hub.user(f"user-{n}") for n in range(20)]

    def share():
        with psycopg.connect(hub.url, autocommit=True, options="-c role=hub_writer") as connection:
            for user in users:
                connection.execute("SELECT share_account(%s,%s,%s)", (hub.tenant, account[0], user))
            for user in users[::2]:
                connection.execute("SELECT * FROM unshare_account(%s,%s,%s)", (hub.tenant, account[0], user)).fetchall()

    thread = threading.Thread(target=share)
    thread.start()
    for n in range(60):
        hub.ingest(account, [[message(2 * n, conv=f"c{n // 2}"), message(2 * n + 1, conv=f"d{n}")]])
    thread.join()
    assert hub.drift() == []
    assert hub.value("SELECT count(*) FROM memberships WHERE tenant_id = %s", hub.tenant) == 90 * 11


def test_an_unknown_kind_is_upgraded_by_replay(hub):
    account = hub.account("ann")
    hub.ingest(account, [[message(1, kind="unsupported", text="?", details='{"raw":{"poll":1}}')]])
    events = hub.ingest(account, [[message(1, kind="location", text="here", details='{"lat":1}')]])
    assert types(events) == ["message_update", "conversation_update"]
    assert events[0]["data"]["message"]["kind"] == "location"
    assert events[0]["data"]["message"]["details"] == {"lat": 1}
    assert hub.ingest(account, [[message(1, kind="location", text="other")]]) == []


def test_a_late_message_does_not_move_the_conversation_back(hub):
    account = hub.account("ann")
    first = hub.ingest(account, [[message(5)]])[0]["data"]["conversation"]
    events = hub.ingest(account, [[message(3)]])
    c = events[0]["data"]["conversation"]
    assert c["lastMessage"] == first["lastMessage"] and c["unreadCount"] == 2
    assert [m["externalId"] for m in messages(hub, "ann", c["id"])] == ["5", "3"]


def test_a_new_inbound_message_reopens(hub):
    account = hub.account("ann")
    c = hub.ingest(account, [[message(1)]])[0]["data"]["conversation"]["id"]
    hub.change("SELECT * FROM set_conversation(%s,%s,%s,%s)", hub.tenant, "ann", c, json.dumps(
        {"state": "snoozed", "snoozedUntil": "2027-01-01T00:00:00Z"}))
    assert listing(hub, "ann", state="snoozed")[0]["snoozedUntil"] == "2027-01-01T00:00:00.000Z"
    assert hub.ingest(account, [[message(2, dir=1)]])[0]["data"]["conversation"]["state"] == "snoozed"
    again = hub.ingest(account, [[message(3)]])[0]["data"]["conversation"]
    assert again["state"] == "open" and again["snoozedUntil"] is None


def test_a_reply_names_our_message_and_attachments_have_rows(hub):
    account = hub.account("ann")
    events = hub.ingest(account, [[message(1, attachments='[{"kind":"image","url":"https://x/1","size":7}]'),
                                   message(2, reply_ext="1"), message(3, reply_ext="99")]])
    got = {e["data"]["message"]["externalId"]: e["data"]["message"] for e in events if e["type"] == "new_message"}
    assert got["2"]["replyTo"] == {"id": got["1"]["id"], "externalId": "1"}
    assert got["3"]["replyTo"] == {"externalId": "99"}
    assert got["1"]["attachments"] == [{
        "kind": "image", "size": 7, "position": 1, "state": "remote",
        "url": f"/api/messages/{got['1']['id']}/attachments/1"}]
    assert hub.value("SELECT size FROM attachments WHERE tenant_id = %s", hub.tenant) == 7


def test_notifications_carry_each_users_last_number(hub):
    account = hub.account("ann")
    with psycopg.connect(hub.url, autocommit=True) as listener:
        listener.execute("LISTEN hub_events")
        hub.ingest(account, [[message(1)]], notify=True)
        payload = [json.loads(n.payload) for n in listener.notifies(timeout=5, stop_after=1)]
    assert payload == [[[hub.tenant, "ann", 3]]]


# --- Changes


def test_changes_find_their_message(hub):
    account = hub.account("ann")
    c = hub.ingest(account, [[message(1), message(2, dir=1, status="sent")]])[0]["data"]["conversation"]["id"]
    e = hub.ingest(account, [[change("edit", 1, seconds=10, text="new")]])
    assert types(e) == ["message_update"]
    assert (e[0]["data"]["message"]["text"], e[0]["data"]["message"]["version"]) == ("new", 2)
    assert e[0]["data"]["message"]["editedAt"] == "2026-11-21T10:00:10.000Z"
    assert hub.ingest(account, [[change("edit", 1, seconds=10, text="new")]]) == []
    e = hub.ingest(account, [[change("reaction", 1, seconds=11, op="add", emoji=["👍"], actor={"id": "a", "name": "A"})]])
    assert e[0]["data"]["message"]["reactions"] == [{"emoji": "👍", "count": 1, "actors": [{"id": "a", "name": "A"}]}]
    e = hub.ingest(account, [[change("status", 2, seconds=12, status="delivered")]])
    assert [(x["type"], x["data"]["status"]) for x in e] == [("message_status_update", "delivered")]
    assert hub.ingest(account, [[change("status", 2, seconds=12, status="sent")]]) == []
    e = hub.ingest(account, [[change("read", upToAt="2026-11-21T11:00:00Z")]])
    assert [(x["type"], x["data"]["status"]) for x in e] == [("message_status_update", "read")]
    e = hub.ingest(account, [[change("delete", 1, seconds=13)]])
    assert types(e) == ["message_update", "conversation_update", "unread_count_update"]
    gone = e[0]["data"]["message"]
    assert gone["text"] is None and gone["attachments"] == [] and gone["deletedAt"] == "2026-11-21T10:00:13.000Z"
    assert hub.value("SELECT text FROM messages WHERE id = %s", gone["id"]) == "new"
    assert hub.unread("ann")["totalUnread"] == 0
    e = hub.ingest(account, [[change("conversation", title="T", seconds=20),
                              change("membership", seconds=20, joined=[{"id": "q", "name": "Q"}], left=["u-1"])]])
    assert types(e) == ["conversation_update"]
    shown = e[0]["data"]["conversation"]
    assert shown["title"] == "T" and shown["participants"] == [{"id": "q", "name": "Q"}] and shown["id"] == c


def test_an_edit_of_the_last_message_changes_the_preview(hub):
    account = hub.account("ann")
    hub.ingest(account, [[message(1)]])
    e = hub.ingest(account, [[change("edit", 1, seconds=10, text="new")]])
    assert types(e) == ["message_update", "conversation_update"]
    assert e[1]["data"]["conversation"]["lastMessage"]["preview"] == "new"


def test_failed_may_become_delivered_and_read_stays(hub):
    account = hub.account("ann")
    hub.ingest(account, [[message(1, dir=1, status="queued")]])
    seen = []
    for s in ("sent", "failed", "sent", "delivered", "failed", "read", "delivered"):
        seen += [x["data"]["status"] for x in hub.ingest(account, [[change("status", 1, status=s, seconds=5)]])]
    assert seen == ["sent", "failed", "delivered", "read"]


def test_a_conversation_with_only_waiting_changes_is_not_listed(hub):
    account = hub.account("ann")
    assert hub.ingest(account, [[change("edit", 7, seconds=9, text="later")]]) == []
    assert hub.ingest(account, [[change("edit", 7, seconds=9, text="later")]]) == []
    assert listing(hub, "ann") == []
    assert hub.value("SELECT count(*) FROM pending_changes WHERE tenant_id = %s", hub.tenant) == 1
    e = hub.ingest(account, [[message(7)]])
    assert types(e) == ["new_message", "conversation_update", "unread_count_update"]
    assert e[0]["data"]["message"]["text"] == "later"
    assert e[0]["data"]["conversation"]["lastMessage"]["preview"] == "later"
    assert hub.value("SELECT count(*) FROM pending_changes WHERE tenant_id = %s", hub.tenant) == 0


def test_a_migrated_conversation_keeps_its_id_and_both_its_names(hub):
    account = hub.account("ann")
    c = hub.ingest(account, [[message(1, conv="old")]])[0]["data"]["conversation"]["id"]
    e = hub.ingest(account, [[change("migrate", conv="old", to="new")]])
    assert types(e) == ["conversation_update"] and e[0]["data"]["conversation"]["externalId"] == "new"
    hub.ingest(account, [[message(1, conv="new", text="numbered anew"), message(2, conv="old"), message(1, conv="old")]])
    assert sorted(m["text"] for m in messages(hub, "ann", c)) == ["numbered anew", "text 1", "text 2"]
    assert hub.ingest(account, [[change("migrate", conv="old", to="new")]]) == []


def items_of_a_story():
    people = [("u-1", "Ann"), ("u-2", "Bob"), ("u-1", "Ann B.")]
    items = [message(n, conv="old" if n < 12 else "new", sender=people[n % 3], dir=1 if n % 5 == 4 else 0,
                     status="sent" if n % 5 == 4 else None, sent=at(n // 2), order=n, conv_title=f"title {n}") for n in range(1, 24)]
    conv = lambda n: "old" if n < 12 else "new"  # noqa: E731
    actor = lambda n: {"id": f"a{n}", "name": f"A{n}"}  # noqa: E731
    items += [change("edit", 3, conv=conv(3), seconds=s, order=s, text=f"edit {s}") for s in (40, 41, 42)]
    items += [change("edit", 3, conv=conv(3), seconds=41, order=41, text="edit tie")]
    items += [change("edit", 23, conv=conv(23), seconds=60, attachments=[{"kind": "image", "url": "u"}])]
    items += [change("delete", 5, conv=conv(5), seconds=50), change("edit", 5, conv=conv(5), seconds=51, text="x")]
    items += [change("delete", 5, conv=conv(5), seconds=49)]
    for n, (op, emoji) in enumerate([("add", ["👍"]), ("add", ["❤"]), ("remove", ["👍"]), ("add", ["🔥"]),
                                     ("replace", ["😀", "👍"]), ("add", ["❤"]), ("remove", ["😀"])]):
        items.append(change("reaction", 8, conv=conv(8), seconds=30 + n, op=op, emoji=emoji, actor=actor(1)))
    items.append(change("reaction", 8, conv=conv(8), seconds=31, op="add", emoji=["👍"], actor=actor(2)))
    items.append(change("reaction", 13, conv=conv(13), seconds=31, op="replace", emoji=["👍"], actor=actor(2)))
    items.append(change("reaction", 13, conv=conv(13), seconds=32, op="replace", emoji=[], actor=actor(2)))
    items += [change("status", 4, conv=conv(4), seconds=20 + n, status=s) for n, s in
              enumerate(("sent", "failed", "delivered"))]
    items += [change("status", 19, conv=conv(19), seconds=25, status="failed", reason="blocked"),
              change("status", 19, conv=conv(19), seconds=26, status="failed", reason="later")]
    items += [change("read", conv="new", upToExternalId="14"), change("read", conv="old", upToAt="2026-11-21T10:00:03Z")]
    items += [change("conversation", conv="new", seconds=8, title="named"), change("conversation", conv="old", seconds=2, title="early")]
    items += [change("membership", conv="new", seconds=9, joined=[{"id": "u-9", "name": "Neo"}], left=["u-2"]),
              change("membership", conv="new", seconds=12, left=["u-9"]),
              change("membership", conv="old", seconds=10, joined=[{"id": "u-2", "name": "Bobby"}])]
    items += [change("migrate", conv="old", seconds=7, to="new")]
    return items


def end_state(hub, user):
    """Everything that the items determine; ids, which are made on arrival, are named by external ids."""
    t = hub.tenant
    name = "(SELECT origin || ':' || external_id FROM messages m WHERE m.tenant_id = x.tenant_id AND m.id = x.message_id)"
    queries = [
        "SELECT origin, external_id, direction, kind, text, sender_name, attachments, reactions, preview, status,"
        " status_reason, sent_at, order_hint, edited_at, edited_order, deleted_at, version FROM messages x"
        " WHERE tenant_id = %s ORDER BY 1, 2",
        f"SELECT {name} AS m, original, at, ord, text, kind FROM message_versions x WHERE tenant_id = %s ORDER BY 1, 3, 4, digest",
        f"SELECT {name} AS m, actor_id, emoji, active, at, ord FROM reactions x WHERE tenant_id = %s ORDER BY 1, 2, 3",
        f"SELECT {name} AS m, position, url FROM attachments x WHERE tenant_id = %s ORDER BY 1, 2",
        f"SELECT {name} AS m, status, at, reason FROM statuses x WHERE tenant_id = %s ORDER BY 1, 2",
        "SELECT external_id, kind, title, title_at, state, participants, participant_count, last_activity_at, last_order,"
        " last_preview, last_sender_name, peer_read_at, peer_read_order, pending_count FROM conversations x WHERE tenant_id = %s ORDER BY 1",
        "SELECT external_id FROM conversation_aliases x WHERE tenant_id = %s ORDER BY 1",
        "SELECT id, name, joined_name, active, member_at FROM participants x WHERE tenant_id = %s ORDER BY 1",
        "SELECT user_id, unread_count FROM memberships x WHERE tenant_id = %s ORDER BY 1",
        "SELECT user_id, platform, unread FROM user_unread x WHERE tenant_id = %s ORDER BY 1",
        "SELECT count(*) FROM pending_changes x WHERE tenant_id = %s",
    ]
    return [hub.rows(q, t) for q in queries]


@pytest.fixture(scope="module")
def expected(url):
    hub = Hub(url)
    account = hub.account("ann")
    for item in items_of_a_story():
        hub.ingest(account, [[item]])
    state = end_state(hub, "ann")
    hub.close()
    return state


def test_the_story_ends_as_told(expected):
    stored = {(m["origin"], m["external_id"]): m for m in expected[0]}
    assert len(stored) == 23
    assert stored["old", "3"]["text"] == "edit 42" and stored["old", "3"]["version"] == 5
    assert stored["old", "5"]["deleted_at"] == at(49)
    assert json.loads(stored["old", "8"]["reactions"]) == [
        {"emoji": "👍", "count": 2, "actors": [{"id": "a2", "name": "A2"}, {"id": "a1", "name": "A1"}]},
        {"emoji": "❤", "count": 1, "actors": [{"id": "a1", "name": "A1"}]}]
    assert stored["new", "13"]["reactions"] is None
    assert (stored["old", "4"]["status"], stored["old", "9"]["status"]) == ("read", "read")
    assert (stored["new", "14"]["status"], stored["new", "19"]["status"]) == ("read", "failed")
    assert stored["new", "19"]["status_reason"] == "blocked"
    c = expected[5]
    assert len(c) == 1 and c[0]["external_id"] == "new" and c[0]["pending_count"] == 0 and c[0]["title"] == "title 23"
    assert expected[8] == [{"user_id": "ann", "unread_count": 18}]


@pytest.mark.parametrize("seed", range(25))
def test_any_order_and_repetition_ends_in_the_same_rows(url, expected, seed):
    hub = Hub(url)
    try:
        account = hub.account("ann")
        rng = random.Random(seed)
        items = items_of_a_story() * rng.choice([1, 2])
        items += rng.sample(items, 10)
        rng.shuffle(items)
        events = []
        while items:
            take = rng.choice([1, 1, 2, 5, 20])
            group, items = items[:take], items[take:]
            cut = rng.randint(0, len(group))
            events += hub.ingest(account, [group[:cut], group[cut:]])
        state = end_state(hub, "ann")
        for got, wanted in zip(state, expected):
            assert got == wanted
        assert hub.drift() == []
        assert types(events).count("new_message") == 23
        assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    finally:
        hub.close()


# --- Reading


def test_reading_and_marking_unread(hub):
    account = hub.account("ann")
    events = hub.ingest(account, [[message(n) for n in range(1, 6)]])
    c = events[0]["data"]["conversation"]["id"]
    ids = {e["data"]["message"]["externalId"]: e["data"]["message"]["id"] for e in events if e["type"] == "new_message"}
    read = lambda up_to: hub.change("SELECT * FROM mark_read(%s,%s,%s,%s)", hub.tenant, "ann", c, up_to)  # noqa: E731
    unread = lambda start: hub.change("SELECT * FROM mark_unread(%s,%s,%s,%s)", hub.tenant, "ann", c, start)  # noqa: E731
    e = read(ids["3"])
    assert types(e) == ["conversation_update", "unread_count_update"]
    assert e[0]["data"]["conversation"]["unreadCount"] == 2 and e[1]["data"]["totalUnread"] == 2
    assert read(ids["3"]) == [] and read(ids["2"]) == []
    e = hub.ingest(account, [[message(0, sent=at(2), order=-1)]])
    assert types(e) == ["new_message", "conversation_update"], "a late message behind the position is not unread"
    assert read(None)[1]["data"]["totalUnread"] == 0
    assert read(None) == []
    assert unread(ids["4"])[0]["data"]["conversation"]["unreadCount"] == 2
    assert unread(ids["5"]) == []
    assert unread(ids["1"])[1]["data"]["totalUnread"] == 6
    hub.ingest(account, [[change("delete", 5, seconds=9), message(6, dir=1)]])
    assert hub.unread("ann")["totalUnread"] == 5
    with pytest.raises(psycopg.errors.NoDataFound):
        hub.change("SELECT * FROM mark_read(%s,%s,%s,%s)", hub.tenant, "bob", c, None)
    with pytest.raises(psycopg.errors.NoDataFound):
        read(uuid.uuid4())


def test_one_users_reading_leaves_the_others_badge(hub):
    account = hub.account("ann")
    hub.user("bob")
    c = hub.ingest(account, [[message(1)]])[0]["data"]["conversation"]["id"]
    hub.writer.execute("SELECT share_account(%s, %s, %s)", (hub.tenant, account[0], "bob"))
    assert hub.unread("bob")["totalUnread"] == 0
    events = hub.ingest(account, [[message(2)]])
    assert types(events, "ann") == types(events, "bob") == ["new_message", "conversation_update", "unread_count_update"]
    hub.change("SELECT * FROM mark_read(%s,%s,%s,%s)", hub.tenant, "ann", c, None)
    assert (hub.unread("ann")["totalUnread"], hub.unread("bob")["totalUnread"]) == (0, 1)
    e = hub.change("SELECT * FROM set_conversation(%s,%s,%s,%s)", hub.tenant, "bob", c, '{"muted":true}')
    assert [x["user_id"] for x in e] == ["bob"] and e[0]["data"]["conversation"]["muted"] is True
    e = hub.change("SELECT * FROM set_conversation(%s,%s,%s,%s)", hub.tenant, "bob", c, '{"labels":["vip"],"assigneeId":"ann"}')
    assert {x["user_id"] for x in e} == {"ann", "bob"}
    assert hub.change("SELECT * FROM set_conversation(%s,%s,%s,%s)", hub.tenant, "bob", c, '{"labels":["vip"]}') == []
    e = hub.change("SELECT * FROM unshare_account(%s,%s,%s)", hub.tenant, account[0], "bob")
    assert [(x["type"], x["data"]["totalUnread"]) for x in e] == [("unread_count_update", 0)]
    assert listing(hub, "bob") == [] and messages(hub, "bob", c) == []
    e = hub.change("SELECT * FROM delete_account(%s,%s)", hub.tenant, account[0])
    assert e[0]["type"] == "account_update" and e[0]["data"]["account"]["deletedAt"]
    assert listing(hub, "ann") == []


def test_reading_against_arriving_messages_keeps_the_count(hub):
    account = hub.account("ann")
    c = hub.ingest(account, [[message(1)]])[0]["data"]["conversation"]["id"]

    def read():
        with psycopg.connect(hub.url, autocommit=True, options="-c role=hub_writer") as connection:
            for _ in range(60):
                connection.execute("SELECT * FROM mark_read(%s,%s,%s,NULL)", (hub.tenant, "ann", c)).fetchall()

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(2, 80):
        hub.ingest(account, [[message(n)]])
    reader.join()
    assert hub.drift() == []


# --- Lists


def test_lists_page_to_the_end_without_a_gap_or_a_double(hub):
    accounts = [hub.account("ann", p) for p in ("telegram", "custom")]
    for n in range(40):
        hub.ingest(accounts[n % 2], [[message(n, conv=f"c{n}", sent=at(n // 4))]])
    seen, cursor = [], dict(before_at=None, before_id=None)
    while page := listing(hub, "ann", lim=7, **cursor):
        seen += page
        cursor = dict(before_at=page[-1]["lastActivityAt"], before_id=page[-1]["id"])
    assert len({c["id"] for c in seen}) == len(seen) == 40
    assert [c["lastActivityAt"] for c in seen] == sorted((c["lastActivityAt"] for c in seen), reverse=True)
    assert len(listing(hub, "ann", platform="custom")) == 20
    assert len(listing(hub, "ann", account=accounts[0][0])) == 20
    assert listing(hub, "ann", state="closed") == []
    hub.change("SELECT * FROM mark_read(%s,%s,%s,NULL)", hub.tenant, "ann", seen[0]["id"])
    assert len(listing(hub, "ann", unread=True)) == 39
    assert [c["id"] for c in listing(hub, "ann", unread=False, lim=1)] == [seen[0]["id"]]
    hub.change("SELECT * FROM mark_read(%s,%s,%s,NULL)", hub.tenant, "ann", seen[30]["id"])
    hub.change("SELECT * FROM set_conversation(%s,%s,%s,%s)", hub.tenant, "ann", seen[30]["id"], '{"state":"closed"}')
    assert [c["id"] for c in listing(hub, "ann", unread=False, lim=2)] == [seen[0]["id"], seen[30]["id"]]
    assert [c["id"] for c in listing(hub, "ann", state="closed")] == [seen[30]["id"]]
    assert [c["id"] for c in listing(hub, "ann")] == [c["id"] for c in seen]


def test_a_list_of_many_unread_conversations_is_walked(hub):
    account = hub.account("ann")
    hub.ingest(account, [[message(n, conv=f"c{n}") for n in range(1200)]])
    page = listing(hub, "ann", unread=True, lim=3)
    assert [c["externalId"] for c in page] == ["c1199", "c1198", "c1197"]
    hub.change("SELECT * FROM mark_read(%s,%s,%s,NULL)", hub.tenant, "ann", page[0]["id"])
    assert [c["externalId"] for c in listing(hub, "ann", unread=True, lim=2)] == ["c1198", "c1197"]


def test_messages_by_position_around_an_anchor(hub):
    account = hub.account("ann")
    c = hub.ingest(account, [[message(n) for n in range(1, 10)]])[0]["data"]["conversation"]["id"]
    ids = {k: m["id"] for k, m in by_ext(hub, "ann", c).items()}
    order = lambda *a: [int(m["externalId"]) for m in messages(hub, "ann", c, *a)]  # noqa: E731
    assert order("last", None, 3) == [9, 8, 7]
    assert order("before", ids["4"], 2) == [3, 2]
    assert order("after", ids["4"], 2) == [5, 6]
    assert order("around", ids["5"], 4) == [7, 6, 5, 4]
    assert order("before", uuid.uuid4(), 2) == []


# --- Bounds


def test_a_reader_without_bounds_sees_nothing(hub):
    account = hub.account("ann")
    hub.ingest(account, [[message(1), change("reaction", 1, op="add", emoji=["x"], actor={"id": "a", "name": "A"})]])
    tables = ["tenants", "users", "user_unread", "account_users", "conversations", "memberships", "messages", "reactions",
              "participants", "events", "attachments", "message_versions", "statuses", "account_documents"]
    for table in tables:
        assert hub.reader.execute(f"SELECT count(*) AS n FROM {table}").fetchone()["n"] == 0, table
        for tenant, user in ((hub.tenant, "bob"), ("other", "ann")):
            with hub.reader.transaction():
                hub.reader.execute("SELECT set_config('hub.tenant', %s, true), set_config('hub.user', %s, true)", (tenant, user))
                if (table, tenant) != ("tenants", hub.tenant):
                    assert hub.reader.execute(f"SELECT count(*) AS n FROM {table}").fetchone()["n"] == 0, table
    for table in ("users", "conversations", "messages", "reactions", "participants", "events", "account_documents"):
        assert hub.read("ann", f"SELECT count(*) AS n FROM {table}")[0]["n"] > 0, table


@pytest.mark.parametrize("statement", [
    "SELECT credentials FROM accounts", "SELECT accounts FROM accounts", "SELECT * FROM deliveries",
    "SELECT * FROM pending_changes", "SELECT * FROM events_default", "UPDATE messages SET text = 'x'", "DELETE FROM events",
    "INSERT INTO nodes (id) VALUES ('x')", "SELECT * FROM mark_read('a', 'b', gen_random_uuid(), NULL)",
    "SELECT ensure_partitions(now())", "SET ROLE hub_writer; SELECT count(*) FROM messages_none",
])
def test_the_reader_may_only_read_what_is_its_own(hub, statement):
    with psycopg.connect(hub.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS nothing ()")
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)):
        hub.reader.execute(statement)


def test_accounts_show_no_secrets(hub):
    account = hub.account("ann")
    hub.admin.execute("UPDATE accounts SET credentials = 'canary' WHERE id = %s", (account[0],))
    rows = hub.read("ann", "SELECT * FROM list_accounts(%s, %s)", hub.tenant, "ann")
    assert json.loads(rows[0]["data"])["accountKey"] == account[0].hex and "canary" not in rows[0]["data"]
    e = hub.change("SELECT * FROM account_changed_events(%s, %s)", hub.tenant, account[0])
    assert e[0]["type"] == "account_update" and e[0]["data"]["account"]["id"] == str(account[0])


# --- Upkeep


def test_an_ordinary_owner_can_migrate_and_serve(cluster):  # noqa: F811
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("CREATE ROLE plain LOGIN CREATEROLE")
    hub = Hub(cluster.database("plain", owner="plain"))
    account = hub.account("ann")
    hub.ingest(account, [[message(1)]])
    assert len(listing(hub, "ann")) == 1
    assert len(hub.read("ann", "SELECT * FROM list_accounts(%s, %s)", hub.tenant, "ann")) == 1
    assert hub.reader.execute("SELECT count(*) AS n FROM messages").fetchone()["n"] == 0
    assert hub.writer.execute("SELECT drop_partitions(now() + interval '3 days') AS n").fetchone()["n"] > 0
    assert hub.read("ann", "SELECT * FROM event_bounds(%s, %s)", hub.tenant, "ann") == [{"floor": 3, "seq": 3}]
    assert hub.drift() == []
    hub.close()


def test_dropped_events_raise_the_floor(hub):
    account = hub.account("ann")
    hub.ingest(account, [[message(1)]])
    hub.admin.execute("CREATE TABLE IF NOT EXISTS events_20200101 PARTITION OF events"
                      " FOR VALUES FROM ('2020-01-01T00:00:00Z') TO ('2020-01-02T00:00:00Z')")
    hub.admin.execute("UPDATE events SET at = '2020-01-01T10:00:00Z' WHERE tenant_id = %s AND seq <= 2", (hub.tenant,))
    assert hub.writer.execute("SELECT drop_partitions('2020-06-01T00:00:00Z') AS n").fetchone()["n"] == 1
    bounds = hub.read("ann", "SELECT * FROM event_bounds(%s, %s)", hub.tenant, "ann")
    assert bounds == [{"floor": 2, "seq": 3}]
    left = hub.read("ann", "SELECT seq FROM list_events(%s,%s,0,10)", hub.tenant, "ann")
    assert left == [{"seq": 3}]
    assert hub.writer.execute("SELECT ensure_partitions(now() + interval '9 days') AS n").fetchone()["n"] == 4
    assert hub.writer.execute("SELECT ensure_partitions(now() + interval '9 days') AS n").fetchone()["n"] == 0


def test_a_drift_is_found(url):
    hub = Hub(url)
    account = hub.account("ann")
    hub.ingest(account, [[message(1)]])
    hub.admin.execute("UPDATE memberships SET unread_count = 5 WHERE tenant_id = %s", (hub.tenant,))
    hub.admin.execute("UPDATE user_unread SET unread = 7 WHERE tenant_id = %s", (hub.tenant,))
    assert sorted((d["kind"], d["stored"], d["counted"]) for d in hub.drift()) == [("conversation", 5, 1), ("platform", 7, 1)]
    hub.close()
