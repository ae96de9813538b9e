"""What the README tells a newcomer to type works as it stands.

A fenced block after the line `<!-- test -->` is run, in order, in one shell with HUB (the address) and
TOKEN (of user `dev`) exported, against a running hub. `<!-- test python -->` marks a Python block, which gets ten seconds to print something.
"""

import os
import re
import subprocess
import sys

import pytest

from hub import BINARY, ROOT, Hub

README = ROOT / "README.md"
BLOCK = re.compile(r"^<!-- test(?P<kind>[^>]*)-->\s*\n```(?P<language>\w*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def blocks():
    return [(match["kind"].strip() or "sh", match["body"]) for match in BLOCK.finditer(README.read_text())]


@pytest.fixture(scope="module")
def newcomer():
    """A hub as `make run` starts it: nothing set but a port that is free."""
    hub = Hub("readme", JWT_SECRET="")
    hub.environment.pop("JWT_SECRET")
    try:
        yield hub.start()
    finally:
        hub.close()


def test_the_readme_has_commands_to_try():
    assert [body for kind, body in blocks() if kind == "sh"]


@pytest.mark.timeout(120)
def test_the_commands_of_the_readme_work(newcomer):
    script = "\n".join(body for kind, body in blocks() if kind == "sh")
    script = script.replace("localhost:3000", f"127.0.0.1:{newcomer.port}")
    environment = newcomer.environment | {
        "PATH": f"{BINARY.parent}{os.pathsep}{os.environ['PATH']}",
        "HUB": newcomer.url,
        "TOKEN": newcomer.command("token", "--user", "dev").stdout.strip(),
    }
    result = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


def test_the_python_client_of_the_readme_connects(newcomer):
    token = newcomer.command("token", "--user", "dev").stdout.strip()
    for kind, body in blocks():
        if not kind.startswith("python"):
            continue
        program = body.replace("localhost:3000", f"127.0.0.1:{newcomer.port}")
        try:
            result = subprocess.run(
                [sys.executable, "-u", "-c", program],
                env=newcomer.environment | {"HUB": newcomer.url, "TOKEN": token}, capture_output=True, text=True, timeout=10,
            )
            output, code = result.stdout, result.returncode
            assert code == 0, result.stderr
        except subprocess.TimeoutExpired as expired:
            output = (expired.stdout or b"").decode()
        assert "authenticated" in output.lower() or "dev" in output


def test_the_platform_table_is_the_programs_own(newcomer):
    table = newcomer.command("platforms", "--markdown").stdout.strip()
    assert README.read_text().split("<!-- platform-table -->")[1].strip() == table


def test_the_configuration_table_is_the_programs_own(newcomer):
    table = newcomer.command("config", "--markdown").stdout.strip()
    assert README.read_text().split("<!-- config-table -->")[1].strip() == table


def test_the_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", README.read_text()):
        assert (ROOT / target).exists(), target
