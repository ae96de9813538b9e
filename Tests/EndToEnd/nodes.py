"""Several hubs on one database."""

from contextlib import contextmanager

from hub import Hub, unique
from postgres import Cluster


@contextmanager
def nodes(name, count=2, **environment):
    """The hubs, started, as a list; all closed at the end."""
    with Cluster(name) as server:
        shared = {
            "DATABASE_URL": server.url,
            "JWT_SECRET": unique("secret") * 3,
            "ENCRYPTION_KEY": "33" * 32,
        } | environment
        hubs = [Hub(f"{name}{number}", **shared) for number in range(count)]
        try:
            for hub in hubs:
                hub.jwt_secret = shared["JWT_SECRET"]
                hub.start()
            yield hubs
        finally:
            for hub in hubs:
                hub.close()
