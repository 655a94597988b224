# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
import zmq

from vla_ros.serving.local_socket import LocalSocket


def test_its_folder_is_its_users_alone_and_goes_with_it(tmp_path: Path):
    local = LocalSocket(tmp_path)
    folder = Path(local.address.removeprefix("ipc://")).parent

    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "socket").write_text("")
    local.remove()
    local.remove()
    assert not folder.exists()


def test_each_server_has_its_own(tmp_path: Path):
    one, two = LocalSocket(tmp_path), LocalSocket(tmp_path)

    assert one.address != two.address


def test_it_goes_with_whoever_forgot_it(tmp_path: Path):
    LocalSocket(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_it_lies_among_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert LocalSocket().address.startswith(f"ipc://{tmp_path}/")


def test_a_path_that_is_too_long_makes_no_socket(tmp_path: Path):
    parent = tmp_path / ("x" * zmq.IPC_PATH_MAX_LEN)
    parent.mkdir()

    assert LocalSocket(parent).address == ""
    assert list(parent.iterdir()) == []


def test_a_machine_without_local_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zmq, "has", lambda feature: feature != "ipc")

    assert LocalSocket(tmp_path).address == ""
    assert list(tmp_path.iterdir()) == []
