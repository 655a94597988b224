# SPDX-License-Identifier: Apache-2.0
"""The curl examples of the documents work as they are printed, but for the ports."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from test.support.programs import ROOT, program

PATIENCE_S = 20.0
PAGES = ("README.md", "doc/serving.md")
SERVER = "ros2 run vla_ros policy_server "

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def examples(page: str) -> tuple[str, list[str]]:
    """The commands of a page that use curl, and the server before the first of them."""
    blocks = re.findall(r"(?m)(?:^    .*\n)+", page)
    server, commands = "", []
    for block in blocks:
        text = re.sub(r"(?m)^    ", "", block)
        lines = text.replace("\\\n", " ").splitlines(keepends=True)
        if not commands:
            server = next((line for line in reversed(lines) if line.startswith(SERVER)), server)
        if re.search(r"(?m)^curl ", text):
            commands.append("".join(line for line in lines if not line.startswith("ros2 ")))
    return server.removeprefix(SERVER), commands


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


@pytest.mark.parametrize("name", PAGES)
def test_the_curl_examples_of_a_page_work(name: str, tmp_path: Path):
    server, commands = examples((ROOT / name).read_text(encoding="utf-8"))
    script = "".join(commands)
    ports = {port: free_port() for port in sorted(set(re.findall(r"localhost:(\d+)", script)))}
    for port, ours in ports.items():
        script = script.replace(f"localhost:{port}", f"localhost:{ours}")
        server = re.sub(rf"(?<=--metrics ){port}\b", str(ours), server)
    assert "8000" in ports
    server = re.sub(r"--http\b", f"--http {ports['8000']}", server)
    # A status that tells of an error is one for curl too; nothing else is changed.
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    with program(["-m", "vla_ros.serving.policy_server", *server.split()]) as running:
        running.wait_for("ready: ")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={
                "CURL_HOME": str(tmp_path),
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert '"status":"healthy"' in done.stdout
        assert "single_arm" in done.stdout
        assert "refused a request" not in running.written


PAGE = """
Serve:

    ros2 run vla_ros policy_server --http \\
        --x y
    curl a

It is

    ros2 topic list
    make b <<END
      b
    END
    curl b \\
        -d c

and

    no example
"""


def test_the_examples_are_found():
    server, commands = examples(PAGE)
    assert server.split() == ["--http", "--x", "y"]
    assert commands == ["curl a\n", "make b <<END\n  b\nEND\ncurl b      -d c\n"]
