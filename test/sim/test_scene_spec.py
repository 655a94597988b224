# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from test.core.refusals import refused
from test.support.simulated import so101, table
from vla_ros.core.errors import ConfigError


def test_the_scene_fits_its_robot():
    table().check_against(so101())


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
    scene = replace(table(), hand=replace(table().hand, interface="tail/position"))

    with refused(ConfigError, "so101_table.yaml", "hand.interface", "tail/position"):
        scene.check_against(so101())
