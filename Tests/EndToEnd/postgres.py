"""A PostgreSQL of the test's own, to stop and start under a hub that was given its address."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def programs():
    """The folder of initdb and pg_ctl: the newest under /usr/lib/postgresql, else the one on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    assert on_path, "no initdb: install the package postgresql"
    return Path(on_path).resolve().parent


class Cluster:
    """One cluster on a unix socket in its own folder, with durable settings unless a test needs none."""

    def __init__(self, name="pg", durable=True):
        # initdb refuses root, so root lends the work to the user that the package made.
        self.owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix=f"e2e-{name}-", dir="/tmp"))
        if self.owner:
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = self.folder / "data"
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        with open(self.data / "postgresql.conf", "a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nmax_connections = 100\n")
            if not durable:
                settings.write("fsync = off\n")

    @property
    def url(self):
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def run(self, program, *arguments, check=True):
        # Output goes to a file: a server started here would hold a pipe open for ever.
        with open("/dev/null", "wb") as nothing:
            return subprocess.run(
                [str(programs() / program), *map(str, arguments)],
                cwd="/tmp", check=check, stdin=subprocess.DEVNULL, stdout=nothing, timeout=60, **self.owner,
            )

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "server.log", "start")
        return self

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def close(self):
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
