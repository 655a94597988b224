# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from vla_ros.core.config_files import config_file
from vla_ros.ros.transport import PROFILE_VARIABLES, keep_off_shared_memory

OURS = str(config_file("dds", "fast_dds", suffix=".xml"))
UDP = str(config_file("dds", "fast_dds_udp", suffix=".xml"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [UDP, UDP]),
        ([OURS], [UDP, UDP]),
        ([OURS, OURS], [UDP, UDP]),
        (["copied"], [UDP, UDP]),
        (["/my/own.xml"], ["/my/own.xml", None]),
        ([OURS, "/my/own.xml"], [OURS, "/my/own.xml"]),
    ],
)
def test_a_process_that_keeps_time_uses_udp_unless_the_user_chose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: list[str], after: list[str | None]
) -> None:
    for name in PROFILE_VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    copied = tmp_path / "copy.xml"
    copied.write_bytes(Path(OURS).read_bytes())
    before = [str(copied) if path == "copied" else path for path in before]
    for name, path in zip(PROFILE_VARIABLES, before, strict=False):
        monkeypatch.setenv(name, path)
    keep_off_shared_memory()
    assert [os.environ.get(name) for name in PROFILE_VARIABLES] == after
