# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from test.core.refusals import refused
from vla_ros.core.config_files import config_file, config_folders, config_names
from vla_ros.core.errors import ConfigError

CHECKOUT = Path(__file__).parents[2] / "config"


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package beside the checkout: a robot of its own, and one of a known name."""
    robots = tmp_path / "share" / "vla_ros" / "config" / "robots"
    robots.mkdir(parents=True)
    for name in ("installed_only.yaml", "so101_sim.yaml", "installed_only.urdf"):
        (robots / name).write_text("")
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["", "/nowhere", str(tmp_path)]))
    return tmp_path


def test_a_checkout_comes_before_every_prefix(prefix: Path):
    share = Path("share") / "vla_ros" / "config"

    assert config_folders() == (CHECKOUT, "/nowhere" / share, prefix / share, sys.prefix / share)


def test_without_a_ros_environment_there_is_pythons_prefix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)

    assert config_folders() == (CHECKOUT, Path(sys.prefix) / "share" / "vla_ros" / "config")


def test_names_are_those_of_all_folders(prefix: Path):
    names = config_names("robots")

    assert {"so101_sim", "installed_only"} <= set(names)
    assert list(names) == sorted(set(names))
    assert config_names("nothings") == ()


def test_a_name_stands_for_a_file(prefix: Path):
    installed = prefix / "share" / "vla_ros" / "config" / "robots" / "installed_only.yaml"

    assert config_file("robots", "so101_sim") == CHECKOUT / "robots" / "so101_sim.yaml"
    assert config_file("robots", "installed_only") == installed


def test_a_path_stands_for_itself(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("")

    assert config_file("robots", str(path)) == path


def test_an_unknown_name_is_refused(prefix: Path):
    with refused(
        ConfigError,
        "robots: 'so100' is not known; known: ",
        "installed_only",
        "so101_sim",
        "or give a .yaml file's path",
    ):
        config_file("robots", "so100")
    with refused(ConfigError, "nothings: 'so100' is not known; known: none; or give a .yaml"):
        config_file("nothings", "so100")


@pytest.mark.parametrize("name", ["missing.yaml", "folder.yaml"])
def test_a_path_without_a_file_is_refused(tmp_path: Path, name: str):
    (tmp_path / "folder.yaml").mkdir()

    with refused(ConfigError, f"robots: file {tmp_path / name} does not exist"):
        config_file("robots", str(tmp_path / name))
