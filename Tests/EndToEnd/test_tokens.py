"""Access tokens that end: had anew ahead of their end, once for all nodes, with refresh tokens that may be used once.

The server is written from Slack's token rotation: `oauth.v2.access` with `grant_type=refresh_token`.
"""

import secrets
import threading
import time

import psycopg

from hub import Hub, unique, wait_until, wrong_clock
from nodes import nodes
from platform_server import PlatformServer
from postgres import Cluster


class Rotating:
    def __init__(self, lifetime):
        self.lifetime = lifetime
        self.team = "T" + secrets.token_hex(4).upper()
        self.refresh = "xoxe-1-0"
        self.token = None
        self.renewals = 0
        self.reused = 0
        self.calls = 0
        self.refused = 0
        self.revoked = False
        self.lock = threading.Lock()
        self.server = PlatformServer(self.answer)

    def answer(self, call):
        method = call.path.rsplit("/", 1)[1]
        with self.lock:
            if method == "oauth.v2.access":
                time.sleep(0.2)
                given = call.form.get("refresh_token")
                if self.revoked or given != self.refresh:
                    self.reused += not self.revoked
                    return 200, {"ok": False, "error": "invalid_refresh_token"}
                self.renewals += 1
                self.refresh = f"xoxe-1-{self.renewals}"
                self.token = f"xoxe.xoxb-{self.renewals}"
                return 200, {
                    "ok": True,
                    "access_token": self.token,
                    "expires_in": self.lifetime,
                    "refresh_token": self.refresh,
                    "token_type": "bot",
                }
            self.calls += 1
            if call.headers.get("authorization") != f"Bearer {self.token}":
                self.refused += 1
                return 200, {"ok": False, "error": "token_expired"}
        if method == "auth.test":
            return 200, {"ok": True, "team_id": self.team, "user_id": "UBOT", "bot_id": "B1"}
        return 200, {"ok": True, "channels": [], "messages": [], "response_metadata": {"next_cursor": ""}}


def connect(user, platform):
    credentials = {
        "signingSecret": secrets.token_hex(16),
        "teamId": platform.team,
        "refreshToken": "xoxe-1-0",
        "clientId": "1.2",
        "clientSecret": "s",
        "apiURL": f"{platform.server.url}/api",
    }
    body = {"platform": "slack", "name": "Team", "credentials": credentials}
    return user.post("/api/accounts", body, expect=201)


def test_a_token_is_renewed_once_for_all_nodes():
    platform = Rotating(lifetime=5)  # Renewed a fifth of that ahead: every four seconds.
    with platform.server, nodes("tokens", SWEEP_INTERVAL="1") as hubs:
        user = hubs[0].user()
        account = connect(user, platform)
        wait_until(lambda: platform.renewals >= 4, 30, "four renewals")
        assert platform.reused == 0
        assert platform.refused == 0
        assert platform.calls > 4
        assert user.get(f"/api/accounts/{account['id']}")["state"] == "connected"
        # A token that the platform takes back is renewed at once.
        with platform.lock:
            platform.token = "another"
            before = platform.renewals
        wait_until(lambda: platform.renewals > before, 15)
        # A grant that is gone needs a person.
        with platform.lock:
            platform.revoked = True
        wait_until(
            lambda: user.get(f"/api/accounts/{account['id']}")["state"] == "bad_credentials", 20, "bad_credentials"
        )
        assert user.get(f"/api/accounts/{account['id']}")["stateAction"]
        # What that person gives is used in place of what was kept.
        with platform.lock:
            platform.revoked, platform.refresh, before = False, "xoxe-2-0", platform.renewals
        user.patch(f"/api/accounts/{account['id']}", {"credentials": {"refreshToken": "xoxe-2-0"}})
        wait_until(lambda: platform.renewals > before + 1, 20, "renewals by the new grant")
        assert platform.reused == 0
        assert user.get(f"/api/accounts/{account['id']}")["state"] == "connected"


def test_a_token_that_cannot_be_kept_is_used_and_kept_later(own_hub):
    platform = Rotating(lifetime=3_600)
    with Cluster("kept") as server, platform.server:
        hub = own_hub("kept", DATABASE_URL=server.url, SWEEP_INTERVAL="1")
        user = hub.user()
        with psycopg.connect(server.url, autocommit=True) as database:
            database.execute(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN RAISE EXCEPTION 'no room'; END $$;
                CREATE TRIGGER refuse BEFORE UPDATE OF sealed ON account_tokens
                  FOR EACH ROW EXECUTE FUNCTION refuse();
                """
            )
            account = connect(user, platform)
            kept = "SELECT sealed IS NOT NULL FROM account_tokens"
            # Several pages and polls: each of them asks for the token.
            wait_until(lambda: platform.calls >= 6, 30, "calls with the token")
            assert platform.renewals == 1 and platform.refused == 0
            assert database.execute(kept).fetchone() == (False,)
            assert "a renewed token cannot be written" in hub.log_text()
            database.execute("DROP TRIGGER refuse ON account_tokens")
            wait_until(lambda: database.execute(kept).fetchone() == (True,), 15, "the token is kept")
        # A hub that knows only what was kept goes on with the refresh token that followed.
        hub.kill()
        hub.start()
        with platform.lock:
            platform.token = "another"
        wait_until(lambda: platform.renewals == 2, 20, "a renewal")
        assert platform.reused == 0
        assert user.get(f"/api/accounts/{account['id']}")["state"] == "connected"


def test_a_token_of_a_short_life_is_used_all_the_same(own_hub):
    """It lives for less than the time ahead of its end in which others are renewed."""
    platform = Rotating(lifetime=60)
    with platform.server:
        hub = own_hub("short", SWEEP_INTERVAL="1")
        user = hub.user()
        account = connect(user, platform)
        wait_until(lambda: platform.calls >= 20, 40, "calls with the token")
        assert platform.renewals == 1 and platform.refused == 0
        assert user.get(f"/api/accounts/{account['id']}")["state"] == "connected"


def test_the_end_of_a_token_is_the_same_on_nodes_whose_clocks_differ():
    """One is ten minutes ahead and one behind: what one has got is as fresh for the other."""
    platform = Rotating(lifetime=900)
    with Cluster("token-clocks") as server, platform.server:
        shared = {
            "DATABASE_URL": server.url,
            "JWT_SECRET": unique("secret") * 3,
            "ENCRYPTION_KEY": "55" * 32,
            "SWEEP_INTERVAL": "1",
        }
        hubs = [Hub(f"clock{n}", **shared) for n in range(2)]
        try:
            for hub, seconds in zip(hubs, (-600, 600)):
                hub.environment |= wrong_clock(seconds)
                hub.jwt_secret = shared["JWT_SECRET"]
            now = int(time.time())
            user = hubs[0].start().user(iat=now - 700, exp=now + 3_600)
            account = connect(user, platform)
            # What the one that is behind has got, the one that is ahead uses.
            for turn in range(2):
                before = platform.calls
                wait_until(lambda: platform.calls >= before + 6, 40, "calls with the token")
                hubs[1 - turn].start()
                hubs[turn].kill()
            before = platform.calls
            wait_until(lambda: platform.calls >= before + 6, 40, "calls with the token")
            assert platform.renewals == 1 and platform.reused == 0 and platform.refused == 0, platform.renewals
            assert user.get(f"/api/accounts/{account['id']}")["state"] == "connected"
        finally:
            for hub in hubs:
                hub.close()
