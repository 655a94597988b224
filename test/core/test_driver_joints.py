# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_ros.core.driver_joints import driver_bounds, driver_places
from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec, robot_spec_from
from vla_ros.core.section import Section

KNOWN = ("base/position", "elbow/position", "hand/position")


def robot(**stream: Any) -> RobotSpec:
    bounds = {"max_velocity": 1.0, "max_acceleration": 1.0, "joining": "continuous"}
    measured = ["hand/position", "elbow/velocity", "elbow/position"]
    described = {
        "name": "two",
        "on_starvation": "hold",
        "max_camera_skew_s": 0.1,
        "interfaces": {"elbow/position": {"lower": -1.0, "upper": 2.0, **bounds}},
        "cameras": {},
        "state_streams": {
            "arm": {
                "topic": "joint_states",
                "type": "joint_state",
                "max_age_s": 0.1,
                "interfaces": measured,
                **stream,
            }
        },
        "command_groups": {
            "arm": {"topic": "arm", "type": "position_array", "interfaces": ["elbow/position"]}
        },
    }
    return robot_spec_from(Section(described, source="two.yaml", path=""), folder=Path())


def test_joints_are_found_among_the_drivers_each_once():
    spec = robot()

    assert driver_places(spec, spec.state_streams, KNOWN, "driver.yaml") == {"arm": [2, 1]}
    assert driver_places(spec, spec.command_groups, KNOWN, "driver.yaml") == {"arm": [1]}


def test_a_joint_that_the_driver_does_not_know_is_named():
    spec = robot()

    with pytest.raises(ConfigError) as refusal:
        driver_places(spec, spec.state_streams, KNOWN[:2], "driver.yaml")

    assert str(refusal.value) == (
        "two.yaml: arm: hand/position is not in driver.yaml, which has base/position,"
        " elbow/position"
    )


def test_other_names_or_units_are_refused():
    spec = robot(scale=[1.0, 1.0, 2.0])

    with pytest.raises(ConfigError, match=r"^two\.yaml: arm: joints, scale and offset may not"):
        driver_places(spec, spec.state_streams, KNOWN, "driver.yaml")


def test_bounds_are_the_robots_and_none_for_what_it_does_not_limit():
    lower, upper = driver_bounds(robot(), KNOWN)

    assert lower.tolist() == [-np.inf, -1.0, -np.inf]
    assert upper.tolist() == [np.inf, 2.0, np.inf]
