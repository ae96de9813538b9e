"""Files of messages: fetched by a job, kept by the hub, shown to those who see the message and to nobody else.

The platform is a server of the tests. Accounts name it by `apiURL`, so that it may be on this machine; a link to
anywhere else on this machine is what the hub must not follow.
"""

import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests

from attachments import Source, fetch, png, settled
from hub import assert_problem, unique, wait_until
from platform_server import HANG, PlatformServer


@pytest.fixture
def source(user):
    made = []

    def make(answer, who=None, **credentials):
        made.append(Source(who or user, answer, **credentials))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


# Fetching.


def test_a_file_is_fetched_told_and_served(hub, user, source):
    content = png(300_000)
    place = source(lambda call: (200, content, {"Content-Type": "application/whatever"}))
    message = place.say(place.file(name="Füße “1”.png", mimeType="image/png", width=1, height=1))
    [shown] = message["attachments"]
    assert shown["state"] in ("remote", "stored") and shown["name"] == "Füße “1”.png"
    stored = settled(user, message, "stored")
    assert stored == {
        "kind": "image", "name": "Füße “1”.png", "mime": "image/png", "size": len(content), "width": 1, "height": 1,
        "position": 1, "state": "stored", "url": f"/api/messages/{message['id']}/attachments/1",
    }
    update = [e for e in user.events() if e["type"] == "message_update"][-1]["data"]["message"]
    assert update == user.get(f"/api/messages/{message['id']}")
    answer = fetch(user, stored["url"])
    assert answer.status_code == 200 and answer.content == content
    headers = answer.headers
    assert headers["Content-Type"] == "image/png" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Length"] == str(len(content)) and "Transfer-Encoding" not in headers
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert headers["Cache-Control"].startswith("private")
    assert headers["Content-Disposition"] == (
        "inline; filename=\"F__e _1_.png\"; filename*=UTF-8''F%C3%BC%C3%9Fe%20%E2%80%9C1%E2%80%9D.png"
    )
    assert len(place.server.calls) == 1
    # Nobody is told where the platform has it.
    told = json.dumps([user.events(), user.messages(message["conversationId"]), user.conversations()])
    assert place.server.url not in told
    assert place.server.url not in hub.log_text() and "/a.png" not in hub.log_text()


def test_the_link_is_hidden_before_the_file_is_there(user, source):
    place = source(lambda call: HANG)
    message = place.say(place.file("/secret-link.png"))
    assert "secret-link" not in json.dumps([message, user.events()])
    waiting = fetch(user, message["attachments"][0]["url"])
    assert assert_problem(waiting, 503)["code"] == "file_not_fetched"
    assert int(waiting.headers["Retry-After"]) >= 1


def test_what_fails_for_now_is_tried_again(user, source):
    script = [(503, {}, {"Retry-After": "1"}), (500, {}), (429, {}, {"Retry-After": "1"})]
    place = source(lambda call: script.pop(0) if script else (200, png()))
    message = place.say(place.file())
    settled(user, message, "stored", seconds=30)
    assert len(place.server.calls) == 4


def test_what_is_gone_fails_with_a_reason_and_can_be_tried_by_hand(user, source):
    gone = [True]
    place = source(lambda call: (404, {}) if gone[0] else (200, png()))
    message = place.say(place.file())
    failed = settled(user, message, "failed")
    assert "404" in failed["reason"]
    assert assert_problem(fetch(user, failed["url"]), 404)["code"] == "file_unavailable"
    gone[0] = False
    again = user.request("POST", failed["url"] + "/fetch", expect=202).json()
    assert again["attachments"][0]["state"] in ("remote", "stored") and "reason" not in again["attachments"][0]
    settled(user, message, "stored")
    assert assert_problem(user.request("POST", failed["url"] + "/fetch"), 409)["code"] == "file_stored"
    assert len(place.server.calls) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 410, 451])
def test_what_is_refused_for_good_is_not_asked_for_again(user, source, status):
    place = source(lambda call: (status, {"error": "no"}))
    assert str(status) in settled(user, place.say(place.file()), "failed")["reason"]
    time.sleep(1.5)
    assert len(place.server.calls) == 1


@pytest.mark.parametrize(
    "kind, content, mime",
    [
        ("image", b"<!DOCTYPE html><script>alert(1)</script>", "image/png"),
        ("image", b"  <html><body>Log in</body></html>", None),
        ("image", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/png"),
        ("audio", png(), "audio/mpeg"),
        ("video", b"%PDF-1.7 and so on", "video/mp4"),
        ("file", b"<!doctype html><title>Sign in</title>", "application/pdf"),
    ],
)
def test_what_is_not_what_it_says_is_refused(user, source, kind, content, mime):
    place = source(lambda call: (200, content, {"Content-Type": mime or "image/png"}))
    message = place.say(place.file("/x", kind=kind, **({"mimeType": mime} if mime else {})))
    assert "no " + kind in settled(user, message, "failed")["reason"]


@pytest.mark.parametrize(
    "content, mime, name",
    [
        (b"<html><script>alert(document.domain)</script></html>", "text/html", "page.html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "image/svg+xml", "drawing.svg"),
        (b"PK\x03\x04rest", "application/zip", "a.zip"),
        (b"just text", None, "notes"),
    ],
)
def test_what_a_browser_would_run_is_only_to_be_saved(user, source, content, mime, name):
    place = source(lambda call: (200, content))
    message = place.say(place.file("/x", kind="file", name=name, **({"mimeType": mime} if mime else {})))
    stored = settled(user, message, "stored")
    answer = fetch(user, stored["url"])
    assert answer.content == content
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


# Where the hub does not go.


def loopback_names():
    """Names that resolve to this machine, among those that every Linux has."""
    names = []
    for name in ("localhost", socket.gethostname()):
        try:
            if socket.gethostbyname(name).startswith("127."):
                names.append(name)
        except OSError:
            pass
    return names


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0",
             "100.64.0.1", "[fe80::1]", "[fd00::1]", *loopback_names()]
)
def test_a_link_into_the_network_behind_the_hub_is_not_followed(user, source, host):
    place = source(lambda call: (200, png()))
    other = PlatformServer(lambda call: (200, png()))
    with other:
        message = place.say(place.file(f"http://{host}:{urlsplit(other.url).port}/latest/meta-data"))
        assert "public address" in settled(user, message, "failed")["reason"]
        assert other.calls == [] and place.server.calls == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_into_the_network_behind_the_hub_is_not_followed(user, source, status):
    other = PlatformServer(lambda call: (200, png()))
    with other:
        place = source(lambda call: (status, b"", {"Location": f"{other.url}/inner"}))
        message = place.say(place.file())
        assert "public address" in settled(user, message, "failed")["reason"]
        assert other.calls == [] and len(place.server.calls) == 1


def test_redirects_on_the_accounts_own_server_are_followed_but_not_for_ever(user, source):
    def answer(call):
        if call.path == "/a.png":
            return 302, b"", {"Location": "/b.png"}
        if call.path == "/b.png":
            return 200, png()
        return 302, b"", {"Location": call.path + "x"}

    place = source(answer)
    settled(user, place.say(place.file()), "stored")
    settled(user, place.say(place.file("/loop")), "failed")
    assert len([call for call in place.server.calls if call.path.startswith("/loop")]) == 6


def test_the_accounts_secrets_stay_with_the_account(user, source):
    """A Slack file that lies elsewhere is asked for without the bot's token, here and behind a redirect."""
    other = PlatformServer(lambda call: (200, png()))
    with other:
        place = source(lambda call: (200, png()))
        account = user.post("/api/accounts", slack(other.url), expect=201)
        deliver_slack(user.hub, account, f"{place.server.url}/private.png")
        [conversation] = user.conversations(account=account["id"])
        message = user.messages(conversation["id"])[0]
        settled(user, message, "failed")
        assert place.server.calls == [] and other.calls == []
        deliver_slack(user.hub, account, f"{other.url}/private.png", "1795219191.000200")
        message = user.messages(conversation["id"])[0]
        settled(user, message, "stored")
        assert [call.headers.get("authorization") for call in other.calls] == ["Bearer xoxb-token"]


def slack(url):
    credentials = {"signingSecret": "shhh", "botToken": "xoxb-token", "teamId": unique("T"), "apiURL": url}
    return {"platform": "slack", "name": "S", "credentials": credentials, "settings": {"polling": "off"}}


def deliver_slack(hub, account, url, ts="1795219190.000200"):
    from slack_sdk.signature import SignatureVerifier

    file = {"id": "F1", "name": "a.png", "mimetype": "image/png", "url_private": url, "url_private_download": url}
    event = {"type": "message", "subtype": "file_share", "channel": "C1", "channel_type": "im", "user": "U1", "text": "",
             "ts": ts, "event_ts": ts, "files": [file]}
    body = json.dumps({"type": "event_callback", "event_id": unique("Ev"), "event_time": 1795219190, "team_id": account["externalId"], "event": event})
    now = str(int(time.time()))
    signature = SignatureVerifier("shhh").generate_signature(timestamp=now, body=body)
    headers = {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": signature, "Content-Type": "application/json"}
    answer = hub.session.post(f"{hub.url}/webhooks/slack/{account['accountKey']}", data=body, headers=headers)
    assert answer.status_code == 200, answer.text


# Limits.


def test_limits_of_size_and_time(own_hub, source):
    hub = own_hub("limits", ATTACHMENT_BYTES_MAX="100K", ATTACHMENT_TIMEOUT="4")
    user = hub.user()
    slow = threading.Event()

    def answer(call):
        if call.path == "/chunked":
            return 200, png(5_000_000)
        if call.path == "/slow" and not slow.is_set():
            slow.set()
            return HANG
        return 200, png(102_400 if call.path == "/exact" else 500)

    place = source(answer, user)
    for path, more in [("/chunked", {}), ("/claimed", {"size": 200_000})]:
        failed = settled(user, place.say(place.file(path, **more)), "failed")
        assert "102400 bytes" in failed["reason"]
    assert [call.path for call in place.server.calls] == ["/chunked"]
    assert settled(user, place.say(place.file("/exact")), "stored")["size"] == 102_400
    start = time.monotonic()
    settled(user, place.say(place.file("/slow")), "stored", seconds=15)
    assert time.monotonic() - start < 12
    too_large = hub.request("POST", "/api/uploads?name=x", token=user.token, data=b"x" * 102_401)
    assert_problem(too_large, 413)
    # Nothing half-fetched is left.
    assert not list((hub.data / "files" / ".incoming").iterdir())


def test_a_storm_of_files_leaves_the_memory_flat(own_hub, source):
    hub = own_hub("storm")
    user = hub.user()
    content = png(6_000_000)
    place = source(lambda call: (200, content), user)
    settled(user, place.say(place.file("/first")), "stored")
    before = hub.memory_bytes()
    messages = [place.say(*[place.file(f"/{n}/{m}") for m in range(5)]) for n in range(6)]
    peak = before
    for message in messages:
        for position in range(1, 6):
            settled(user, message, "stored", position, seconds=60)
            peak = max(peak, hub.memory_bytes())
    # Thirty files of 6 MB, of which eight at once: whole in memory they would be 48 MB and more.
    assert peak - before < 40 << 20, f"{(peak - before) >> 20} MiB more"
    url = user.get(f"/api/messages/{messages[0]['id']}")["attachments"][4]["url"]
    assert fetch(user, url).content == content


# Serving.


@pytest.fixture(scope="module")
def served(hub):
    """A stored file of a user of its own, with its content."""
    user = hub.user()
    content = bytes(n * 31 % 256 for n in range(600_000))
    place = Source(user, lambda call: (200, content))
    message = place.say(place.file("/data", kind="file", name="data.bin"))
    stored = settled(user, message, "stored")
    yield user, stored["url"], content
    place.server.close()


@pytest.mark.parametrize(
    "field, first, last",
    [("bytes=0-0", 0, 0), ("bytes=0-", 0, 599_999), ("bytes=599999-", 599_999, 599_999), ("bytes=-1", 599_999, 599_999),
     ("bytes=-700000", 0, 599_999), ("bytes=262143-262145", 262_143, 262_145), ("bytes=100-99999999999999999999", 100, 599_999),
     ("Bytes= 5 - 9", 5, 9)],
)
def test_parts_are_served(served, field, first, last):
    user, url, content = served
    answer = fetch(user, url, Range=field)
    assert answer.status_code == 206
    assert answer.content == content[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/600000"
    assert answer.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("field", ["bytes=600000-", "bytes=-0", "bytes=999999-1000000"])
def test_a_part_that_is_not_there(served, field):
    user, url, _ = served
    answer = fetch(user, url, Range=field)
    assert_problem(answer, 416)
    assert answer.headers["Content-Range"] == "bytes */600000"


@pytest.mark.parametrize("field", ["bytes=9-5", "bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=-", "bytes=1-2-3"])
def test_ranges_that_make_no_sense_are_ignored(served, field):
    user, url, content = served
    answer = fetch(user, url, Range=field)
    assert answer.status_code == 200 and answer.content == content


def test_conditions(served):
    user, url, content = served
    tag = fetch(user, url).headers["ETag"]
    assert not tag.startswith("W/")
    for condition in (tag, f'"other", {tag}', "*", f"W/{tag}"):
        answer = fetch(user, url, **{"If-None-Match": condition})
        assert (answer.status_code, answer.content) == (304, b"") and answer.headers["ETag"] == tag
    assert fetch(user, url, **{"If-None-Match": '"other"'}).status_code == 200
    assert fetch(user, url, **{"If-Range": tag, "Range": "bytes=0-3"}).content == content[:4]
    for other in ('"other"', f"W/{tag}", "Wed, 25 Nov 2026 20:00:00 GMT"):
        assert fetch(user, url, **{"If-Range": other, "Range": "bytes=0-3"}).status_code == 200
    head = user.hub.request("HEAD", url, token=user.token)
    assert head.status_code == 200 and head.content == b"" and head.headers["Content-Length"] == "600000"
    head = user.hub.request("HEAD", url, token=user.token, headers={"Range": "bytes=0-9"})
    assert head.status_code == 206 and head.headers["Content-Length"] == "10"


def test_the_connection_goes_on_behind_a_file(served):
    user, url, content = served
    session = requests.Session()
    session.trust_env = False
    for _ in range(3):
        answer = session.get(user.hub.url + url, headers={"Authorization": f"Bearer {user.token}"})
        assert answer.content == content


def test_nobody_sees_the_file_of_another(hub, served):
    user, url, _ = served
    colleague, foreigner = hub.user(), hub.user(tenant=unique("tenant"))
    for stranger in (colleague, foreigner):
        for method, path in [("GET", url), ("HEAD", url), ("POST", url + "/link"), ("POST", url + "/fetch")]:
            assert stranger.request(method, path).status_code == 404, (method, path)
    assert_problem(hub.request("GET", url), 401)
    for path in (url[:-1] + "2", url[:-1] + "0", url[:-1] + "x", "/api/messages/nothing/attachments/1"):
        assert_problem(fetch(user, path), 404)


def test_a_deleted_message_shows_no_file(user, source):
    place = source(lambda call: (200, png()))
    message = place.say(place.file())
    url = settled(user, message, "stored")["url"]
    place.account.deliver(
        {"type": "message.deleted", "conversation": {"id": "c1"},
         "message": {"id": message["externalId"], "deletedAt": "2026-11-02T10:00:00.000Z"}}
    )
    assert_problem(fetch(user, url), 404)
    assert user.get(f"/api/messages/{message['id']}")["attachments"] == []


# Links.


def test_a_link_shows_one_file_for_a_while(hub, served):
    user, url, content = served
    link = user.post(url + "/link", expect=201)
    assert link["url"].startswith(url + "?token=") and link["expiresAt"] > "2026"
    answer = hub.request("GET", link["url"], headers={"Range": "bytes=0-9"})
    assert answer.status_code == 206 and answer.content == content[:10]
    token = link["url"].split("=")[1]
    payload, code = token.split(".")
    flipped = code[:-2] + ("A" if code[-2] != "A" else "B") + code[-1]
    other = url.replace(url.split("/")[3], "01890a5d-ac96-774b-bcce-b302099a8057")
    for path in (url + "?token=" + payload + "." + flipped, url + "?token=x", url + "?token=" + payload,
                 other + "?token=" + token, url[:-1] + "2?token=" + token):
        assert hub.request("GET", path).status_code == 401, path
    assert token not in hub.log_text()


def test_a_link_ends(own_hub, source):
    hub = own_hub("links")
    user = hub.user()
    place = source(lambda call: (200, png()), user)
    url = settled(user, place.say(place.file()), "stored")["url"]
    link = user.post(url + "/link", expect=201)["url"]
    assert hub.request("GET", link).status_code == 200
    colleague = hub.user()
    colleague.get("/api/me")
    user.patch(f"/api/accounts/{place.account.id}", {"users": [colleague.id]})
    shared = colleague.post(url + "/link", expect=201)["url"]
    assert hub.request("GET", shared).status_code == 200
    # Whom the account is taken from, the link shows nothing any more.
    user.patch(f"/api/accounts/{place.account.id}", {"users": []})
    assert hub.request("GET", shared).status_code == 404
    import base64

    payload = link.split("token=")[1].split(".")[0]
    end = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["e"]
    assert 0 < end - time.time() <= 600


# Each platform's own way.


def test_telegram_is_asked_for_the_path_first(hub, user):
    content = png(2_000)

    def answer(call):
        if call.path == "/bot1:abc/getFile":
            return 200, {"ok": True, "result": {"file_id": call.json["file_id"], "file_path": "photos/file 1.png"}}
        return (200, content) if call.path == "/file/bot1:abc/photos/file%201.png" else (404, {})

    server = PlatformServer(answer)
    with server:
        account = user.telegram()
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"botToken": "1:abc", "apiURL": server.url}})
        account.say(1, photo=[{"file_id": "small", "width": 1, "height": 1}, {"file_id": "large", "width": 9, "height": 9}])
        [conversation] = user.conversations(account=account.id)
        message = user.messages(conversation["id"])[0]
        stored = settled(user, message, "stored")
        assert fetch(user, stored["url"]).content == content
        assert server.calls[0].json == {"file_id": "large"}
        assert "large" not in json.dumps(stored)


def test_an_account_without_credentials_says_what_is_missing(user):
    account = user.telegram()
    account.say(1, document={"file_id": "x", "file_name": "a.pdf"})
    [conversation] = user.conversations(account=account.id)
    message = user.messages(conversation["id"])[0]
    assert "botToken" in settled(user, message, "failed")["reason"]


# What is sent.


def test_what_is_sent_is_shown_and_given_to_the_platform(own_hub):
    hub = own_hub("sent", PUBLIC_URL="http://hub.example/base")
    user = hub.user()
    content = png(50_000)
    taken = []

    def receive(call):
        taken.append(call.json)
        return 200, {"messageId": unique("out")}

    server = PlatformServer(receive)
    with server:
        account = user.custom()
        account.say("m1")
        [conversation] = user.conversations(account=account.id)
        user.patch(f"/api/accounts/{account.id}", {"credentials": {"sendURL": f"{server.url}/in"}})
        headers = {"Content-Type": "image/png"}
        upload = hub.request("POST", "/api/uploads?name=cat.png", token=user.token, data=content, headers=headers).json()
        path = f"/api/conversations/{conversation['id']}/messages"
        message = user.post(path, {"text": "a cat", "attachments": [{"uploadId": upload["uploadId"]}]}, expect=201)
        [shown] = message["attachments"]
        assert shown == {
            "kind": "image", "name": "cat.png", "mime": "image/png", "size": len(content), "position": 1,
            "state": "stored", "url": f"/api/messages/{message['id']}/attachments/1",
        }
        assert fetch(user, shown["url"]).content == content
        wait_until(lambda: taken)
        [file] = taken[0]["message"]["attachments"]
        assert file["url"].startswith("http://hub.example/base/files/")
        public = file["url"].removeprefix("http://hub.example/base")
        answer = hub.request("GET", public)
        assert answer.status_code == 200 and answer.content == content and answer.headers["Content-Type"] == "image/png"
        assert hub.request("GET", public + "/cat.png", headers={"Range": "bytes=0-3"}).content == content[:4]
        assert_problem(hub.request("GET", public[:-3] + "abc"), 404)
        assert_problem(hub.request("GET", "/files/nothing"), 404)
        assert upload["uploadId"] not in json.dumps([user.events(), message])


# Keeping.


def files_of(hub):
    return sorted(path for path in (hub.data / "files").rglob("*") if path.is_file())


def test_what_nobody_needs_is_deleted(own_hub, source):
    hub = own_hub("keeping")
    user = hub.user()
    place = source(lambda call: (200, png()), user)
    edited = place.say(place.file("/one"), place.file("/two"))
    for position in (1, 2):
        settled(user, edited, "stored", position)
    kept = fetch(user, edited["attachments"][0]["url"]).headers["ETag"]
    upload = hub.request("POST", "/api/uploads?name=a.png", token=user.token, data=png()).json()
    assert len(files_of(hub)) == 3
    # An edit that keeps the first and changes the second: the first is not fetched again.
    place.account.deliver(
        {"type": "message.edited", "conversation": {"id": "c1"},
         "message": {"id": edited["externalId"], "text": "new", "editedAt": "2026-11-02T10:00:00.000Z", "attachments": [place.file("/one"), place.file("/three")]}}
    )
    settled(user, edited, "stored", 2)
    wait_until(lambda: [c.path for c in place.server.calls].count("/three") == 1)
    assert [call.path for call in place.server.calls].count("/one") == 1
    assert fetch(user, edited["attachments"][0]["url"]).headers["ETag"] == kept
    with hub.database() as database:
        database.execute("UPDATE uploads SET created_at = now() - interval '25 hours'")
    wait_until(lambda: len(files_of(hub)) == 2, 40, "the deletion of the upload and of the file that was edited away")
    refused = user.request(
        "POST", f"/api/conversations/{edited['conversationId']}/messages", json={"attachments": [{"uploadId": upload["uploadId"]}]}
    )
    assert refused.status_code in (400, 422)
    user.request("DELETE", f"/api/accounts/{place.account.id}", expect=204)
    wait_until(lambda: not files_of(hub), 40, "the deletion of the account's files")


def test_a_hub_that_dies_fetches_again_and_leaves_nothing(own_hub, source):
    hub = own_hub("killed")
    user = hub.user()
    begun, content = threading.Event(), png(200_000)
    first = [True]

    def answer(call):
        if first[0]:
            first[0] = False
            begun.set()
            return HANG
        return 200, content

    place = source(answer, user)
    message = place.say(place.file())
    assert begun.wait(10)
    hub.kill()
    hub.start()
    stored = settled(user, message, "stored", seconds=40)
    assert fetch(user, stored["url"]).content == content
    assert len([path for path in files_of(hub) if ".incoming" not in path.parts]) == 1


def test_metrics_count_what_was_fetched(hub, served):
    text = hub.request("GET", "/metrics").text
    assert 'hub_attachment_fetches_total{outcome="stored",platform="custom"}' in text.replace(
        'platform="custom",outcome="stored"', 'outcome="stored",platform="custom"'
    )
    assert "hub_attachment_bytes_total" in text
