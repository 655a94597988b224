# SPDX-License-Identifier: Apache-2.0
"""The robots and policies that come with the package are whole, and fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_ros.backends.registry import backend_names
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.core.urdf import read_joints

CONFIG = Path(__file__).parents[2] / "config"
ROBOTS = sorted((CONFIG / "robots").iterdir())
POLICIES = sorted((CONFIG / "policies").iterdir())


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


each_robot = each([path for path in ROBOTS if path.suffix == ".yaml"])
each_policy = each([path for path in POLICIES if path.suffix == ".yaml"])


def fits(policy: PolicySpec, robot: RobotSpec) -> bool:
    try:
        policy.check_against(robot)
    except ConfigError:
        return False
    return True


def test_there_are_robots_and_policies_and_nothing_else():
    assert {path.suffix for path in ROBOTS} == {".yaml", ".urdf"}
    # What a policy of ours has learned lies beside its description.
    assert {path.suffix for path in POLICIES} == {".yaml", ".npz"}


@each_robot
def test_a_robot_is_found_by_its_name(path: Path):
    assert load_robot_spec(path).name == path.stem
    assert config_file("robots", path.stem) == path


@each_robot
def test_topics_are_relative(path: Path):
    robot = load_robot_spec(path)
    parts = (robot.cameras, robot.state_streams, robot.command_groups)

    assert [
        entry.topic for part in parts for entry in part.values() if entry.topic[0] in "/~"
    ] == []


@each_robot
def test_limits_and_cameras_agree_with_the_urdf(path: Path):
    robot = load_robot_spec(path)
    if robot.urdf is None:
        assert [camera for camera in robot.cameras.values() if camera.geometry] == []
        return
    joints = {joint.name: joint for joint in read_joints(robot.urdf)}
    links = {link for joint in joints.values() for link in (joint.parent, joint.child)}

    for interface, limits in robot.limits.items():
        joint = joints[interface.rpartition("/")[0]]
        assert joint.lower - 1e-3 <= limits.lower < limits.upper <= joint.upper + 1e-3, interface
    for camera in robot.cameras.values():
        assert camera.geometry is None or camera.geometry.parent_link in links


@each_policy
def test_a_policy_is_found_by_its_name(path: Path):
    assert load_policy_spec(path).name == path.stem
    assert config_file("policies", path.stem) == path


@each_policy
def test_a_policy_fits_a_robot(path: Path):
    policy = load_policy_spec(path)
    robots = [load_robot_spec(robot) for robot in ROBOTS if robot.suffix == ".yaml"]

    assert [robot.name for robot in robots if fits(policy, robot)]


@each_policy
def test_a_policy_is_reached_by_a_backend_that_there_is(path: Path):
    assert load_policy_spec(path).backend in backend_names()
