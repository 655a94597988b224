# SPDX-License-Identifier: Apache-2.0
"""No file of the repository names a path that exists on one machine only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Made by tools and ignored by git.
IGNORED = {
    ".git", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".peers", ".pytest_cache",
    ".ros", ".ruff_cache", ".venv", "__pycache__", "build", "htmlcov", "install", "log", "out",
    "vla_ros.egg-info",
}  # fmt: skip

# The first folders of such paths, at the start of a word.
MACHINE_PATH = re.compile(r"(?<![\w.~/$}])/(?:home|mnt|root|tmp|Users|work)/(?!\s)[\w.-]+")

PLANTED = "/".join(["", "home", "someone"])


def machine_paths(root: Path) -> list[str]:
    """Names each place in the tree's text files where an absolute path of a machine stands."""
    found = []
    for path in _files(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            found.extend(
                f"{path.relative_to(root)}:{number}: {match}"
                for match in MACHINE_PATH.findall(line)
            )
    return found


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - IGNORED)
        yield from (Path(folder, name) for name in sorted(names))


def test_no_machine_path():
    assert machine_paths(ROOT) == []


@pytest.mark.parametrize("first", ["home", "mnt", "root", "tmp", "Users", "work"])
def test_a_machine_path_is_found(tmp_path: Path, first: str):
    planted = f"/{first}/someone/vla_ros"
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc/guide.md").write_text(f"Go on.\nOpen `{planted}` first.\n")

    assert machine_paths(tmp_path) == [f"doc/guide.md:2: /{first}/someone"]


def test_other_paths_are_left_alone(tmp_path: Path):
    (tmp_path / "guide.md").write_text(
        "../home/x ~/work/x /opt/ros/jazzy vla_ros/root/x /robot/x\n"
    )
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe" + PLANTED.encode())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/notes.txt").write_text(PLANTED)

    assert machine_paths(tmp_path) == []
