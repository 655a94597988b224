# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import vla_ros.filters
from test.core.helpers import robot
from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.filter import FilterSettings
from vla_ros.filters.registry import filter_names, make_filter

SETTINGS = FilterSettings(low_pass_cutoff_hz=5.0, jerk_time_s=0.1)


def test_the_modules_are_the_filters():
    assert filter_names() == ("jerk_limit", "low_pass")


@pytest.mark.parametrize("name", filter_names())
def test_every_filter_starts_where_it_is_told_and_lets_switched_interfaces_pass(name: str):
    stage = make_filter(name, robot(), SETTINGS)
    start = np.array([0.5, -0.5, 0.0])

    stage.reset(start, np.zeros(3))
    position, velocity = stage.step(
        np.array([-0.5, 0.5, 1.0]), np.array([0.0, 0.0, 7.0]), dt_s=0.01
    )

    assert (np.abs(position - start) < 0.5).tolist() == [True, True, False]
    assert (position[2], velocity[2]) == (1.0, 7.0)
    assert (start == [0.5, -0.5, 0.0]).all()


@pytest.mark.parametrize("name", filter_names())
def test_what_comes_out_is_not_changed_by_the_next_step(name: str):
    stage = make_filter(name, robot(), SETTINGS)
    stage.reset(np.zeros(3), np.zeros(3))
    still = np.zeros(3)
    position, velocity = stage.step(np.full(3, 0.3), still, dt_s=0.01)
    kept = position.copy(), velocity.copy()

    stage.step(np.full(3, 0.6), still, dt_s=0.01)

    assert (position == kept[0]).all()
    assert (velocity == kept[1]).all()


@pytest.mark.parametrize("name", ["registry", "median", ""])
def test_an_unknown_filter_is_named_with_those_that_are(name: str):
    with refused(
        ConfigError, f"filters: {name!r} does not exist", "there are jerk_limit, low_pass"
    ):
        make_filter(name, robot(), SETTINGS)


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    monkeypatch.setattr(vla_ros.filters, "__path__", [*vla_ros.filters.__path__, str(tmp_path)])

    with refused(ConfigError, "'needy' needs", "pip install no_such_library"):
        make_filter("needy", robot(), SETTINGS)
    assert "vla_ros.filters.needy" not in sys.modules


def test_a_library_is_imported_only_when_its_filter_is_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ruckig", None)
    monkeypatch.delitem(sys.modules, "vla_ros.filters.jerk_limit", raising=False)

    make_filter("low_pass", robot(), SETTINGS)
    with refused(ConfigError, "'jerk_limit' needs", "pip install ruckig"):
        make_filter("jerk_limit", robot(), SETTINGS)
