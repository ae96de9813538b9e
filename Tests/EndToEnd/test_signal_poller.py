"""Signal is polled like the others, but what was given out is gone: there is no page to ask for again.

The cases are those of `test_pollers` that this leaves.
"""

import pytest

import test_pollers
from feeds.signal import Feed
from hub import Hub

CASES = [
    test_pollers.live,
    test_pollers.changes,
    test_pollers.limited,
    test_pollers.failing,
    test_pollers.revoked,
]


@pytest.fixture(scope="module")
def hub():
    hub = Hub("signal-poller", POLLING_PACE=test_pollers.PACE)
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_signal_is_polled(hub, case):
    made = []

    def make():
        made.append(Feed())
        return made[-1]

    try:
        case(hub, make)
    finally:
        for feed in made:
            if account := getattr(feed, "connected", None):
                account.user.patch(f"/api/accounts/{account.account['id']}", {"disabled": True})
            feed.server.close()
