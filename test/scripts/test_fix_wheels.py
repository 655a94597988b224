# SPDX-License-Identifier: Apache-2.0
"""The ROS wheels' CMake files come to name this Python."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from scripts.fix_wheels import fix, main

BUILDER = "/opt/python/cp311-cp311"


def test_the_builders_folders_are_replaced_and_nothing_else():
    before = (
        f"A;{BUILDER}/include/python3.11;"
        f"{BUILDER}/lib/python3.11/site-packages/numpy/_core/include;/opt/python/other"
    )

    after = fix(before, include="/inc", site_packages="/site")

    assert after == "A;/inc;/site/numpy/_core/include;/opt/python/other"
    assert fix(after, include="/inc", site_packages="/site") == after


@pytest.mark.parametrize(
    ("text", "status"), [(f"{BUILDER}/include/python3.11", 0), (f"{BUILDER}/bin/python", 1)]
)
def test_a_folder_that_cannot_be_replaced_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, status: int
):
    file = tmp_path / "share/some_msgs/cmake/some.cmake"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    assert main() == status
    assert file.read_text() == (text if status else sysconfig.get_paths()["include"])
