"""What a platform tells of a message of which nobody knows: the key of the hub's own settles it.

And limits that last longer than a case of `test_senders` may. The servers stand in `contracts`.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from contracts import CONTRACTS
from contracts.base import Fault
from contracts.scene import Scene
from hub import Hub, wait_until
from platform_server import CUT
from postgres import Cluster

AT_ONCE = 24


def doubtful(scene):
    """A message that the platform took, and whose answer was lost."""
    scene.contract.tell(Fault(CUT, done=True))
    message = scene.send()
    scene.settled(message, "unknown")
    [made] = scene.contract.made
    return message, made


def tell(scene, made, status):
    scene.contract.deliver(scene.hub, scene.account, scene.contract.news(scene.account, made, status))


def once(scene, message, made, status):
    """One message of the platform's name, one call, and the status as it was told."""
    found = wait_until(lambda: (m := scene.status(message))["status"] == status and m, 20, status)
    assert found["externalId"] == made.id
    time.sleep(2.5)
    assert scene.status(message)["status"] == status
    assert len(scene.contract.tries) == 1
    own = [one for one in scene.user.messages(scene.place) if one["direction"] == "outbound"]
    assert [one["id"] for one in own] == [message["id"]]
    scene.check()
    return found


def delivered(scene):
    message, made = doubtful(scene)
    tell(scene, made, "delivered")
    once(scene, message, made, "delivered")


def failed(scene):
    message, made = doubtful(scene)
    tell(scene, made, "failed")
    assert once(scene, message, made, "failed")["statusReason"]


def early(scene):
    """The news come while the call is still under way: the message is what the news say, and stays so."""
    contract = scene.contract
    route = contract.route
    told = []

    def telling(call):
        answer = route(call)
        if contract.made and not told:
            told.append(True)
            contract.lock.release()
            try:
                tell(scene, contract.made[0], "delivered")
                time.sleep(1)
            finally:
                contract.lock.acquire()
        return answer

    contract.route = telling
    message = scene.send()
    found = wait_until(lambda: (m := scene.status(message))["status"] == "delivered" and m, 20, "delivered")
    once(scene, message, contract.made[0], "delivered")
    assert found["id"] == message["id"]


def minute(scene):
    """A limit of a minute or more is kept: nothing is asked meanwhile, and nothing fails."""
    contract = scene.contract
    contract.tell(contract.minute())
    first = scene.send()
    wait_until(lambda: contract.tries, 20, "a call")
    second = scene.send("another")
    time.sleep(8)
    assert [scene.status(one)["status"] for one in (first, second)] == ["queued", "queued"]
    assert len(contract.tries) == 1
    assert scene.record()["state"] == "connected"
    scene.check()


def ended(scene):
    """What the platform tells of a message by its own id, when it has come or could not."""
    for status in ("delivered", "failed"):
        message = scene.send()
        scene.settled(message, "sent")
        made = scene.contract.made[-1]
        scene.contract.deliver(scene.hub, scene.account, scene.contract.ended(made, status))
        found = wait_until(lambda: (m := scene.status(message))["status"] == status and m, 20, status)
        assert found["externalId"] == made.id and bool(found.get("statusReason")) == (status == "failed")
    scene.check()


def having(what, *cases):
    """Each case with the platforms whose contract has what it needs."""
    return [(case, name) for name, contract in CONTRACTS.items() if hasattr(contract, what) for case in cases]


CASES = having("news", delivered, failed, early) + having("minute", minute) + having("ended", ended)


def run(hub, case, name):
    scene = Scene(hub, CONTRACTS[name]())
    try:
        case(scene)
    finally:
        scene.close()


@pytest.fixture(scope="module")
def outcomes():
    """All cases at once; a test waits for its own."""
    with Cluster("sender-news", durable=False) as cluster:
        hub = Hub("sender-news", DATABASE_URL=cluster.url)
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=AT_ONCE)
        hub.session.mount("http://", adapter)
        try:
            hub.start()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                yield {(case, name): pool.submit(run, hub, case, name) for case, name in CASES}
        finally:
            hub.close()


@pytest.mark.parametrize(
    ("case", "name"), [pytest.param(*one, id=f"{one[0].__name__}-{one[1]}") for one in CASES]
)
def test_a_message_is_settled(outcomes, case, name):
    outcomes[case, name].result()
