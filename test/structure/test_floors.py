# SPDX-License-Identifier: Apache-2.0
"""The floors of the house, checked by import-linter with the contracts of pyproject.toml."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "backends", "bringup", "core", "drivers", "filters", "nodes", "ros", "serving", "sim", "wire",
)  # fmt: skip


def broken_contracts(root: Path) -> str:
    """Returns what import-linter says of the contracts that are broken; empty if all are kept."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=root, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_floors_hold():
    assert broken_contracts(ROOT) == ""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        (tmp_path / "vla_ros" / package).mkdir(parents=True)
        (tmp_path / "vla_ros" / package / "__init__.py").touch()
    (tmp_path / "vla_ros/__init__.py").touch()
    return tmp_path


def test_an_empty_house_stands(house: Path):
    assert broken_contracts(house) == ""


@pytest.mark.parametrize(
    ("package", "imported"),
    [
        ("backends", "vla_ros.serving"),
        ("bringup", "launch_ros"),
        ("core", "cv2"),
        ("core", "vla_ros.wire"),
        ("drivers", "rclpy"),
        ("filters", "vla_ros.wire"),
        ("nodes", "vla_ros.bringup"),
        ("serving", "vla_ros.sim"),
        ("sim", "rclpy"),
        ("wire", "vla_ros.ros"),
    ],
)
def test_an_import_against_the_floors_is_found(house: Path, package: str, imported: str):
    (house / "vla_ros" / package / "bad.py").write_text(f"import {imported}\n")

    assert f"vla_ros.{package}.bad -> {imported}" in broken_contracts(house)


def test_an_undeclared_floor_is_found(house: Path):
    (house / "vla_ros/attic").mkdir()
    (house / "vla_ros/attic/__init__.py").touch()

    assert "vla_ros.attic" in broken_contracts(house)
