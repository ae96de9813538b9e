"""A private PostgreSQL for the schema tests: its own cluster in a temporary folder, unix socket only.

Runs as the user `postgres` when the tests run as root, because PostgreSQL refuses root.
"""

import glob
import os
import pathlib
import shutil
import subprocess
import tempfile

import psycopg
import pytest

MIGRATIONS = pathlib.Path(__file__).resolve().parents[2] / "Migrations"


def bin_dir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    if found:
        return found[-1]
    return os.path.dirname(shutil.which("postgres") or "/usr/bin/postgres")


class Cluster:
    def __init__(self, folder, fsync=False):
        self.folder = folder
        self.as_root = os.geteuid() == 0
        if self.as_root:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
                  "--no-sync")
        with open(f"{folder}/data/postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses=''\nunix_socket_directories='{folder}'\nfsync={'on' if fsync else 'off'}\n"
                       "shared_buffers=256MB\nmax_wal_size=4GB\nwal_compression=lz4\n")
        self._run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "start")

    def _run(self, program, *arguments):
        command = [f"{bin_dir()}/{program}", *arguments]
        if self.as_root:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def url(self, database="postgres", user="postgres"):
        return f"postgresql:///{database}?host={self.folder}&user={user}"

    def database(self, name, owner="postgres"):
        """A fresh database with the migrations applied by its owner; returns the owner's URL."""
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
        url = self.url(name, owner)
        for path in sorted(MIGRATIONS.glob("*.sql")):
            with psycopg.connect(url, autocommit=False) as migrator:
                migrator.execute(path.read_text())
        return url

    def stop(self):
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def cluster():
    folder = tempfile.mkdtemp(prefix="hub-schema-")
    running = Cluster(folder)
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)
