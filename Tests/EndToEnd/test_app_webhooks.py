"""One URL for all accounts of an app: the account is found in what was verified, or the delivery waits for it.

And secrets that are changed while deliveries come in: none of them is lost.
"""

import base64
import secrets
import threading

import pytest

from catalogue import FORMS, NAMES, connect, platforms, samples, signing_field, simulate
from hub import unique

APPS = [name for name in NAMES if any("account" in item for one in samples(name).values() for item in one["expected"])]


@pytest.fixture
def admin(hub):
    return hub.user(tenant=unique("tenant"), roles=["admin"])


def addressed(platform):
    """A sample with a message that names the account it is for, and that name."""
    for name, sample in samples(platform).items():
        accounts = {item.get("account") for item in sample["expected"]}
        messages = [item for item in sample["expected"] if item["type"] == "message"]
        if messages and len(accounts) == 1 and None not in accounts:
            return name, accounts.pop(), len(messages)
    raise AssertionError(f"{platform} has no sample that names its account")


def make_app(admin, platform):
    """An app and what its deliveries are signed with."""
    values = {name: secrets.token_hex(16) for name in platforms()[platform]["appCredentials"]}
    app = admin.post("/api/apps", {"platform": platform, "name": "App", "credentials": values}, expect=201)
    assert app["webhookUrl"].endswith(f"/webhooks/{platform}")
    return app


def send(hub, platform, sample, app):
    result = hub.command("simulate", platform, sample, "--app", app["id"])
    assert "answered 2" in result.stdout, result.stdout


def texts(user):
    return [message["externalId"] for one in user.conversations() for message in user.messages(one["id"])]


def dead(admin, platform):
    return [one for one in admin.pages("/api/deliveries", state="dead") if one["platform"] == platform]


def account_of(admin, platform, external):
    """An account without secrets of its own: the app verifies for it."""
    field = platforms()[platform]["accountField"]
    body = {"platform": platform, "name": "Shop", "credentials": {field: external}}
    return admin.post("/api/accounts", body, expect=201)


def test_every_platform_with_apps_is_among_these():
    assert APPS == [name for name in NAMES if platforms()[name]["appCredentials"]]


@pytest.mark.parametrize("platform", APPS)
def test_a_delivery_finds_its_account(hub, admin, platform):
    sample, external, count = addressed(platform)
    app = make_app(admin, platform)
    account = account_of(admin, platform, external)
    other = account_of(admin, platform, external + "1")
    send(hub, platform, sample, app)
    assert len(texts(admin)) == count
    assert {one["accountId"] for one in admin.conversations()} == {account["id"]} != {other["id"]}
    assert dead(admin, platform) == []
    send(hub, platform, sample, app)
    assert len(texts(admin)) == count


@pytest.mark.parametrize("platform", APPS)
def test_a_delivery_for_a_stranger_waits_and_is_replayed(hub, admin, platform):
    sample, external, count = addressed(platform)
    app = make_app(admin, platform)
    send(hub, platform, sample, app)
    (delivery,) = dead(admin, platform)
    assert delivery["reason"] == f"no account is connected for {external}"
    assert admin.conversations() == []
    again = admin.post(f"/api/deliveries/{delivery['id']}/replay")
    assert again == {"outcome": "dead", "reason": delivery["reason"]}

    account = account_of(admin, platform, external)
    admin.post(f"/api/deliveries/{delivery['id']}/replay")
    assert len(texts(admin)) == count
    assert {one["accountId"] for one in admin.conversations()} == {account["id"]}
    assert dead(admin, platform) == []
    # What comes after that finds it at once, and the replay again changes nothing.
    seq = admin.events()[-1]["seq"]
    send(hub, platform, sample, app)
    admin.post(f"/api/deliveries/{delivery['id']}/replay")
    assert len(texts(admin)) == count and admin.events()[-1]["seq"] == seq


@pytest.mark.parametrize("platform", APPS)
def test_an_app_of_another_tenant_reaches_nobody_here(hub, admin, platform):
    sample, external, _ = addressed(platform)
    account_of(admin, platform, external)
    stranger = hub.user(tenant=unique("tenant"), roles=["admin"])
    send(hub, platform, sample, make_app(stranger, platform))
    assert admin.conversations() == [] and stranger.conversations() == []
    assert len(dead(stranger, platform)) == 1 and dead(admin, platform) == []


# Secrets that change.


def new_secret(platform):
    forms = {
        "custom": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "teams-outgoing-webhook": base64.b64encode(secrets.token_bytes(24)).decode(),
    }
    return forms.get(platform, secrets.token_hex(16))


def answers(hub, platform, account, secret):
    sample = next(iter(samples(platform)))
    return set(simulate(hub, platform, account, sample, check=False, secret=secret))


@pytest.mark.parametrize("platform", NAMES)
def test_a_secret_is_rotated(hub, user, platform):
    field = signing_field(platform)
    if field is None or platform in FORMS and len(FORMS[platform]()) > 1:
        # The platform signs with a key of its own; SigningTests has its case, as it has everybody's.
        assert platform in FORMS
        return
    old, new = new_secret(platform), new_secret(platform)
    account = connect(user, platform, **{field: old})

    def taken(secret):
        (status,) = answers(hub, platform, account, secret)
        assert status in (401, 403) or 200 <= status <= 299
        return status < 300

    assert (taken(old), taken(new)) == (True, False)
    user.patch(f"/api/accounts/{account['id']}", {"credentials": {field: [new, old]}})
    assert (taken(old), taken(new)) == (True, True)
    user.patch(f"/api/accounts/{account['id']}", {"credentials": {field: [new]}})
    assert (taken(old), taken(new)) == (False, True)


def test_no_message_is_lost_while_a_secret_changes(hub, user):
    account = user.custom()
    old, new = account.secret, new_secret("custom")
    statuses, numbers = [], iter(range(10_000))
    stopping = threading.Event()

    def send():
        while not stopping.is_set():
            payload = account.message(f"m{next(numbers)}")
            headers, body = account.signed(payload, secret=account.secret)
            response = account.session.post(hub.url + account.path, data=body, headers=headers, timeout=15)
            statuses.append(response.status_code)

    sender = threading.Thread(target=send)
    sender.start()

    def some_more():
        count = len(statuses)
        while len(statuses) < count + 20 and sender.is_alive():
            stopping.wait(0.01)

    change = f"/api/accounts/{account.id}"
    some_more()
    user.patch(change, {"credentials": {"webhookSecret": [new, old]}})
    some_more()
    account.secret = new
    some_more()
    user.patch(change, {"credentials": {"webhookSecret": [new]}})
    some_more()
    stopping.set()
    sender.join(30)
    assert set(statuses) == {200}
    assert user.unread()["totalUnread"] == len(statuses)
