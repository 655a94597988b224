# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_ros.backends._local_socket import is_own_socket


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        yield path


def test_an_own_socket_is_known(own: Path):
    assert is_own_socket(f"ipc://{own}")


def test_what_is_none_is_not_used(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain, link = tmp_path / "plain", tmp_path / "link"
    plain.write_text("")
    link.symlink_to(own)
    monkeypatch.chdir(tmp_path)
    for address in (
        "",
        str(own),
        f"tcp://{own}",
        "ipc://",
        "ipc://socket",
        "ipc://*",
        f"ipc://{own}\0",
        f"ipc://{plain}",
        f"ipc://{link}",
        f"ipc://{tmp_path}",
        f"ipc://{tmp_path / 'missing'}",
        f"ipc:///{'x' * 5000}",
    ):
        assert not is_own_socket(address), address


def test_what_belongs_to_somebody_else_is_not_used(own: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: own.stat().st_uid + 1)

    assert not is_own_socket(f"ipc://{own}")
