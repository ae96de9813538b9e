"""The commands, as a person or a script uses them."""

import json
import re

import jwt
import pytest

from hub import unique

COMMANDS = [
    [], ["serve"], ["migrate"], ["token"], ["account"], ["account", "add"], ["account", "list"], ["simulate"],
    ["deliveries"], ["deliveries", "list"], ["deliveries", "show"], ["deliveries", "replay"], ["verify"],
    ["verify", "unread"], ["doctor"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "messaging-hub")
def test_help(hub, command):
    result = hub.command(*command, "--help")
    assert result.stderr == ""
    assert "messaging-hub" in result.stdout
    for word in command:
        assert word in result.stdout


def test_the_help_names_every_command(hub):
    text = hub.command("--help").stdout
    for command in ("serve", "migrate", "token", "account", "simulate", "deliveries", "verify", "doctor"):
        assert command in text


@pytest.mark.parametrize("arguments", [
    ["no-such-command"], ["token"], ["token", "--user"], ["token", "--user", ""], ["token", "--users", "x"],
    ["token", "--user", "x", "--expires", "soon"], ["account"], ["account", "add"], ["account", "add", "pigeon"],
    ["simulate"], ["simulate", "telegram"], ["simulate", "telegram", "no-such-sample"], ["simulate", "pigeon", "text"],
    ["simulate", "telegram", "text", "--count", "many"], ["simulate", "telegram", "text", "--body", "/no/such/file"],
    ["simulate", "whatsapp", "text", "--app", "no-such-app"], ["simulate", "telegram", "text", "none"],
    ["deliveries"], ["deliveries", "show"], ["deliveries", "show", "not-an-id"], ["deliveries", "replay", "0198c2f0-0000-7000-8000-000000000000"],
    ["verify"], ["verify", "everything"], ["serve", "--no-such-flag"],
], ids=" ".join)
def test_a_mistake_is_one_plain_line_on_stderr(hub, arguments):
    result = hub.command(*arguments, check=False)
    assert result.returncode != 0
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert not re.search(r"(Fatal error|Swift\.|Error\(|\.swift:)", result.stderr)


def test_token_prints_the_token_and_nothing_else(hub):
    name = unique("user")
    result = hub.command(
        "token", "--user", name, "--email", "a@example.com", "--tenant", "acme", "--roles", "admin,agent", "--expires", "60"
    )
    assert result.stdout.count("\n") == 1
    claims = jwt.decode(result.stdout.strip(), hub.jwt_secret, algorithms=["HS256"])
    assert claims["sub"] == name
    assert claims["email"] == "a@example.com"
    assert claims["tenant"] == "acme"
    assert claims["roles"] == ["admin", "agent"]
    assert 50 <= claims["exp"] - claims["iat"] <= 60
    assert hub.request("GET", "/api/unread", token=result.stdout.strip()).status_code == 200


def test_migrate_again_changes_nothing(hub):
    hub.command("migrate")
    assert hub.health().status_code == 200


def test_account_add_and_list(hub):
    user = hub.user()
    added = hub.command("account", "add", "telegram", "--name", "From the shell", "--user", user.id)
    assert "/webhooks/telegram/" in added.stdout
    listed = hub.command("account", "list")
    assert "From the shell" in listed.stdout
    (account,) = user.pages("/api/accounts")
    assert account["name"] == "From the shell"
    assert account["accountKey"] in added.stdout


@pytest.mark.parametrize("platform", ["telegram", "custom"])
def test_simulate_signs_and_sends(hub, platform):
    user = hub.user()
    account = getattr(user, platform)()
    hub.command("simulate", platform, "text", "--account", account.key)
    assert user.unread()["totalUnread"] == 1


def test_simulate_duplicates_and_reorders(hub):
    user = hub.user()
    account = user.telegram()
    hub.command("simulate", "telegram", "text", "--account", account.key, "--count", "50", "--duplicate", "3", "--reorder")
    assert user.unread()["totalUnread"] == 50
    (conversation,) = user.conversations()
    times = [message["sentAt"] for message in user.messages(conversation["id"])]
    assert times == sorted(times, reverse=True)
    hub.command("verify", "unread")


def test_simulate_sends_several_samples_and_bodies_of_ones_own(hub, tmp_path):
    user = hub.user()
    account = user.telegram()
    hub.command("simulate", "telegram", "text", "reply", "--account", account.key)
    assert user.unread()["totalUnread"] == 2
    body = tmp_path / "body.json"
    for number, text in ((1, "from a file"), (2, "and another")):
        body.write_text(json.dumps(account.update(number, text)))
        hub.command("simulate", "telegram", "text", "--account", account.key, "--body", str(body))
    assert user.unread()["totalUnread"] == 4
    (conversation,) = [one for one in user.conversations() if one["externalId"] == "1001"]
    assert [one["text"] for one in user.messages(conversation["id"])] == ["and another", "from a file"]


def test_simulate_with_a_bad_signature_is_refused(hub):
    user = hub.user()
    account = user.telegram()
    result = hub.command("simulate", "telegram", "text", "--account", account.key, "--bad-signature", check=False)
    assert "401" in result.stdout + result.stderr
    assert user.conversations() == []


def test_simulate_without_a_hub_says_so(hub):
    result = hub.command("simulate", "telegram", "text", check=False, PORT="9")
    assert result.returncode != 0
    assert len(result.stderr.strip().splitlines()) == 1


def test_deliveries_are_listed_and_shown(hub):
    user = hub.user()
    account = user.telegram()
    account.deliver(b'{"update_id":')
    listed = hub.command("deliveries", "list").stdout
    identifiers = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", listed)
    assert identifiers
    shown = hub.command("deliveries", "show", identifiers[0]).stdout
    assert identifiers[0] in shown and "telegram" in shown


def test_verify_unread_finds_drift(hub):
    user = hub.user()
    user.telegram().say(1)
    hub.command("verify", "unread")
    with hub.database() as database:
        database.execute("UPDATE memberships SET unread_count = unread_count + 1 WHERE user_id = %s", (user.id,))
        result = hub.command("verify", "unread", check=False)
        database.execute("UPDATE memberships SET unread_count = unread_count - 1 WHERE user_id = %s", (user.id,))
    assert result.returncode != 0
    assert user.id in result.stdout + result.stderr
    hub.command("verify", "unread")


def test_doctor_finds_a_healthy_hub(hub):
    result = hub.command("doctor")
    text = result.stdout.lower()
    for subject in ("database", "migrations", "clock", "port", "configuration"):
        assert subject in text, f"{subject}: {result.stdout}"
    assert hub.jwt_secret not in result.stdout


def test_doctor_speaks_json(hub):
    result = hub.command("doctor", "--json")
    assert json.loads(result.stdout)


def test_doctor_says_what_to_do(hub):
    result = hub.command("doctor", check=False, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "DATABASE_URL" in text
    assert "Fatal error" not in text
