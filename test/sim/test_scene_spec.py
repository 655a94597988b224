# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from test.core.refusals import refused
from test.support.simulated import so101, table
from test.support.simulated_g1 import g1, g1_table
from vla_ros.core.errors import ConfigError


def test_the_scene_fits_its_robot():
    table().check_against(so101())
    g1_table().check_against(g1())


def without_first(entries: dict) -> dict:
    return dict(list(entries.items())[1:])


@pytest.mark.parametrize("key", ["servos", "start"])
def test_a_missing_interface_is_refused(key: str):
    first = next(iter(so101().command_names))
    scene = replace(table(), **{key: without_first(getattr(table(), key))})

    with refused(ConfigError, "so101_table.yaml", key, first, so101().name):
        scene.check_against(so101())


def test_an_unknown_interface_is_refused():
    scene = replace(table(), start={**table().start, "tail/position": 0.0})

    with refused(ConfigError, "so101_table.yaml", "start", "tail/position"):
        scene.check_against(so101())


def test_a_hand_that_is_not_commanded_is_refused():
    scene = replace(table(), hand=replace(table().hand, open={"tail/position": (0.0, 1.0)}))

    with refused(ConfigError, "so101_table.yaml", "hand.open", "tail/position"):
        scene.check_against(so101())
