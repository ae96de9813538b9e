"""The attachments' job as SQL: taking, storing, failing, giving up; see Migrations/0017."""

import json

import psycopg
import pytest

from pg_fixture import cluster  # noqa: F401 (a fixture)
from schema_model import Hub, change, message


@pytest.fixture(scope="module")
def url(cluster):  # noqa: F811
    return cluster.database("hubfiles")


@pytest.fixture
def hub(url):
    hub = Hub(url)
    beat(hub, "node")
    yield hub
    hub.admin.execute("DELETE FROM attachments; DELETE FROM stale_files; DELETE FROM uploads")
    hub.close()


def beat(hub, node, age="0 seconds"):
    hub.admin.execute(
        "INSERT INTO nodes (id, seen_at) VALUES (%s, now() - %s::interval)"
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at", (node, age))


def image(number, **more):
    return {"kind": "image", "url": f"https://x/{number}", "externalId": f"f{number}"} | more


def said(hub, *files, user="ann"):
    account = hub.account(user)
    [event] = [e for e in hub.ingest(account, [[message(1, attachments=json.dumps(files))]]) if e["type"] == "new_message"]
    return account, event["data"]["message"]


def take(hub, node="node", limit=10):
    return hub.writer.execute("SELECT * FROM take_files(%s, %s)", (node, limit)).fetchall()


def stored(hub, job, node="node", mime="image/png", size=7, key=None):
    return hub.change("SELECT * FROM file_stored(%s,%s,%s,%s,%s,%s,%s)", hub.tenant, job["message_id"], job["position"],
                      node, key or job["storage_key"], mime, size)


def shown(hub, identifier, user="ann"):
    [row] = hub.read(user, "SELECT * FROM get_message(%s,%s,%s)", hub.tenant, user, identifier)
    return json.loads(row["data"])["attachments"]


def stale(hub):
    return {row["key"] for row in hub.rows("SELECT key FROM stale_files WHERE tenant_id = %s", hub.tenant)}


def test_links_and_ids_are_never_shown(hub):
    _, m = said(hub, image(1, name="a", caption="c"), image(2, storageKey="uploads/x"), image(3, **{"from": "user"}))
    assert [sorted(one) for one in m["attachments"]] == [
        ["caption", "kind", "name", "position", "state", "url"], ["kind", "position", "state", "url"],
        ["kind", "position", "state", "url"]]
    assert [one["state"] for one in m["attachments"]] == ["remote", "stored", "remote"]
    assert "https" not in json.dumps(m["attachments"]) and shown(hub, m["id"]) == m["attachments"]


@pytest.mark.parametrize("link", ["t", '"', "\\", "rue", "null", "{", "/", "//x/{}", ":", "n/a", "https://y/\\", 'https://y/"a"', "https://y/ü"])
def test_details_show_the_hubs_link_and_stay_whole(hub, link):
    details = {"true": True, "t": None, "path": "a/b", "line": "\na/b", "more": [link, link + "/more", "x" + link]}
    account = hub.account("ann")
    said = message(1, attachments=json.dumps([image(1, url=link)], ensure_ascii=False), details=json.dumps(details, ensure_ascii=False))
    [event] = [e for e in hub.ingest(account, [[said]]) if e["type"] == "new_message"]
    m = event["data"]["message"]
    if link[:2] in ("ht", "//"):
        ours = m["attachments"][0]["url"]
        details["more"] = [ours, ours + "/more", "x" + ours]
    assert m["details"] == details


def test_a_part_of_a_delivery_keeps_its_name_and_not_the_deliverys(hub):
    _, m = said(hub, {"kind": "file", "externalId": "part:mime/2", "delivery": "0199", "name": "a"})
    assert m["attachments"][0] == {
        "kind": "file", "name": "a", "externalId": "part:mime/2", "position": 1, "state": "remote",
        "url": f"/api/messages/{m['id']}/attachments/1"}
    assert json.loads(take(hub)[0]["source"])["delivery"] == "0199"


def test_taken_once_stored_and_told(hub):
    _, m = said(hub, image(1), image(2))
    jobs = take(hub)
    assert [(job["position"], job["attempts"]) for job in jobs] == [(1, 1), (2, 1)] and take(hub) == []
    assert len({job["storage_key"] for job in jobs}) == 2
    [event] = stored(hub, jobs[1])
    assert event["type"] == "message_update"
    one, two = event["data"]["message"]["attachments"]
    assert one["state"] == "remote" and two == two | {"state": "stored", "mime": "image/png", "size": 7}
    assert stored(hub, jobs[1]) == []
    [row] = hub.read("ann", "SELECT * FROM find_file(%s,%s,%s,%s)", hub.tenant, "ann", m["id"], 2)
    assert row["storage_key"] == jobs[1]["storage_key"] and row["stored_at"]
    hub.user("bob")
    assert hub.read("bob", "SELECT * FROM find_file(%s,%s,%s,%s)", hub.tenant, "bob", m["id"], 2) == []


def test_a_worker_that_comes_too_late_leaves_its_file_behind(hub):
    _, m = said(hub, image(1))
    beat(hub, "dead", "1 minute")
    [job] = take(hub, "dead")
    assert hub.writer.execute("SELECT recover_files() AS n").fetchone()["n"] == 1
    assert stale(hub) == {job["storage_key"]}
    [again] = take(hub)
    assert again["attempts"] == 2 and again["storage_key"] != job["storage_key"]
    assert stored(hub, job, "dead") == [] and shown(hub, m["id"])[0]["state"] == "remote"
    assert [e["type"] for e in stored(hub, again)] == ["message_update"]


def test_failing_waiting_and_trying_again(hub):
    _, m = said(hub, image(1))
    [job] = take(hub)
    place = (hub.tenant, job["message_id"], 1, "node", job["storage_key"])
    hub.writer.execute("SELECT file_later(%s,%s,%s,%s,%s, 3600, 'busy', false)", place)
    assert take(hub) == []
    hub.change("SELECT * FROM retry_file(%s,%s,%s,%s)", hub.tenant, "ann", m["id"], 1)
    [job] = take(hub)
    assert job["attempts"] == 1
    [event] = hub.change("SELECT * FROM file_failed(%s,%s,%s,%s,%s,'gone')", *place[:4], job["storage_key"])
    assert event["data"]["message"]["attachments"][0] == shown(hub, m["id"])[0]
    assert shown(hub, m["id"])[0]["reason"] == "gone" and take(hub) == []
    hub.user("bob")
    for user, identifier, position in (("bob", m["id"], 1), ("ann", m["id"], 2)):
        with pytest.raises(psycopg.errors.NoDataFound):
            hub.change("SELECT * FROM retry_file(%s,%s,%s,%s)", hub.tenant, user, identifier, position)
    [event] = hub.change("SELECT * FROM retry_file(%s,%s,%s,%s)", hub.tenant, "ann", m["id"], 1)
    assert "reason" not in event["data"]["message"]["attachments"][0]
    [job] = take(hub)
    stored(hub, job)
    with pytest.raises(psycopg.Error) as refusal:
        hub.change("SELECT * FROM retry_file(%s,%s,%s,%s)", hub.tenant, "ann", m["id"], 1)
    assert refusal.value.sqlstate == "HB422"


def test_an_edit_keeps_what_stays_where_it_is(hub):
    account, m = said(hub, image(1), image(2))
    jobs = {job["position"]: job for job in take(hub)}
    for job in jobs.values():
        stored(hub, job)
    hub.ingest(account, [[change("edit", 1, seconds=10, attachments=[image(1), image(3)])]])
    assert [one["state"] for one in shown(hub, m["id"])] == ["stored", "remote"]
    assert stale(hub) == {jobs[2]["storage_key"]}
    [job] = take(hub)
    assert job["position"] == 2 and json.loads(job["source"])["url"] == "https://x/3"
    hub.ingest(account, [[change("edit", 1, seconds=20, text="without")]])
    assert [one["state"] for one in shown(hub, m["id"])] == ["stored", "remote"]
    assert [e for e in stored(hub, jobs[2]) if e["type"] == "message_update"] == []


def test_a_deleted_message_is_not_told_of(hub):
    account, m = said(hub, image(1))
    hub.ingest(account, [[change("delete", 1, seconds=10)]])
    [job] = take(hub)
    assert job["is_deleted"] and stored(hub, job) == []
    assert hub.read("ann", "SELECT * FROM find_file(%s,%s,%s,%s)", hub.tenant, "ann", m["id"], 1) == []


def test_nothing_that_is_shown_is_deleted(hub):
    hub.user("ann")
    upload, other = "01990000-0000-7000-8000-000000000001", "01990000-0000-7000-8000-000000000002"
    for identifier in (upload, other):
        hub.writer.execute("INSERT INTO uploads (tenant_id, id, user_id, file, created_at) VALUES (%s,%s,'ann','{}', now() - interval '2 days')",
                           (hub.tenant, identifier))
    account, m = said(hub, image(1, storageKey=f"uploads/{upload}"), image(2))
    [job] = take(hub)
    stored(hub, job)
    hub.writer.execute("SELECT expire_uploads(interval '1 day')")
    assert stale(hub) == {f"uploads/{other}"}
    hub.writer.execute("INSERT INTO stale_files (tenant_id, key) VALUES (%s, %s)", (hub.tenant, job["storage_key"]))
    taken = hub.writer.execute("SELECT * FROM take_stale_files(10)").fetchall()
    assert [row["key"] for row in taken] == [f"uploads/{other}"]
    assert hub.writer.execute("SELECT * FROM take_stale_files(10)").fetchall() == []
    hub.writer.execute("SELECT forget_stale_file(%s, %s)", (hub.tenant, f"uploads/{other}"))
    assert stale(hub) == set()
    hub.change("SELECT * FROM delete_account(%s, %s)", hub.tenant, account[0])
    assert hub.writer.execute("SELECT release_files('deleted') AS more").fetchone()["more"] is True
    assert hub.writer.execute("SELECT release_files('deleted') AS more").fetchone()["more"] is False
    assert stale(hub) == {f"uploads/{upload}", job["storage_key"]}
    hub.admin.execute("UPDATE accounts SET deleted_at = now() - interval '1 hour' WHERE id = %s", (account[0],))
    hub.writer.execute("SELECT release_files('deleted')")
    assert hub.value("SELECT files_released FROM accounts WHERE id = %s", account[0]) is True


def test_readers_see_nothing_of_the_job(hub):
    for sql in ("SELECT * FROM stale_files", "SELECT * FROM take_files('x', 1)", "SELECT recover_files()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            hub.read("ann", sql)
