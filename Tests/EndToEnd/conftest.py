"""Fixtures: one hub for each file of tests, which keep apart by users and accounts of their own."""

import resource

import _pytest.runner
import pytest

from hub import Hub

# It notes the running test in the environment and takes it out again, while threads of other tests read the
# environment; a name that is gone between two looks fails them.
_pytest.runner._update_current_test_var = lambda item, when: None

# A thousand clients and their server need more than the usual thousand descriptors.
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536, hard))


@pytest.fixture(scope="module")
def hub(request):
    """Shared by the tests of one file. When one fails, the end of the hub's log is printed."""
    hub = Hub(request.module.__name__.removeprefix("test_"))
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for name in ("hub", "own_hub"):
            failed = item.funcargs.get(name) if hasattr(item, "funcargs") else None
            if isinstance(failed, Hub):
                report.sections.append((f"log of {name}", failed.log_tail()))


@pytest.fixture
def own_hub(request):
    """Makes hubs for one test, which may kill them; all are closed at the end."""
    hubs = []

    def make(name="own", **environment):
        made = Hub(name, **environment)
        hubs.append(made)
        return made.start()

    yield make
    for made in hubs:
        made.close()


@pytest.fixture
def user(hub):
    return hub.user()
