# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from test.core.helpers import ROBOT, cameraless_robot, robot
from test.core.refusals import changed, refused
from vla_ros.core.camera_spec import CameraSpec
from vla_ros.core.errors import ConfigError
from vla_ros.core.joint_map import same
from vla_ros.core.robot_spec import (
    CommandGroup,
    InterfaceLimits,
    StateStream,
    load_robot_spec,
)
from vla_ros.core.workspace import WorkspaceSpec


def test_a_robot_is_read():
    spec = robot()

    assert (spec.name, spec.source, spec.urdf) == ("two_joint", "robot.yaml", None)
    assert spec.max_camera_skew_s == 0.02
    assert spec.limits["a/position"] == InterfaceLimits(-1.0, 1.0, 2.0, 20.0, "continuous")
    assert list(spec.cameras) == ["left", "right"]
    assert spec.cameras["left"] == CameraSpec("left/image_raw", "raw", 4, 6, 0.2, geometry=None)
    arm = ("w/position", "a/position")
    assert spec.state_streams["joints"] == StateStream(
        "joint_states", "joint_state", arm, 0.1, same(arm)
    )
    assert spec.command_groups["hand"] == CommandGroup(
        "hand/trajectory", "joint_trajectory", ("g/position",), same(("g/position",))
    )


def test_vectors_follow_the_order_of_the_streams_and_groups():
    spec = robot()

    assert spec.state_names == ("w/position", "a/position", "g/position")
    assert spec.command_names == ("a/position", "w/position", "g/position")
    assert spec.limit_array("lower").tolist() == [-1.0, -1.0, 0.0]
    assert spec.limit_array("max_acceleration").tolist() == [20.0, 20.0, 5000.0]
    assert spec.switched.tolist() == [False, False, True]


def test_a_robot_may_have_no_camera():
    assert cameraless_robot().cameras == {}


def test_a_joint_may_have_slashes_and_be_measured_in_other_quantities():
    base = "[g/position, base/x/velocity, base/x/effort]"

    spec = robot(
        changed(
            ROBOT, "max_age_s: 0.2, interfaces: [g/position]", f"max_age_s: 0.2, interfaces: {base}"
        )
    )

    assert spec.state_names[-2:] == ("base/x/velocity", "base/x/effort")


def test_a_robot_is_loaded_from_a_file_and_its_urdf_lies_beside_it(tmp_path: Path):
    path = tmp_path / "body.yaml"
    path.write_text(f"urdf: meshes/body.urdf\n{ROBOT}")

    spec = load_robot_spec(path)

    assert (spec.source, spec.urdf) == (str(path), tmp_path / "meshes/body.urdf")


WORKSPACE = "workspace: {link: hand, lower_m: [0, 0, 0], upper_m: [1, 1, 1]}\n"


def test_a_robot_may_have_a_workspace():
    spec = robot(f"urdf: body.urdf\n{WORKSPACE}{ROBOT}")

    assert spec.workspace == WorkspaceSpec("hand", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), None)
    assert robot().workspace is None


def test_a_workspace_without_kinematics_is_refused():
    with refused(ConfigError, "robot.yaml: workspace: needs the kinematics of a urdf"):
        robot(f"{WORKSPACE}{ROBOT}")


def test_a_workspace_is_read_strictly():
    with refused(ConfigError, "robot.yaml: workspace.box: unknown key (known here: link, lower_m"):
        robot(f"urdf: body.urdf\n{WORKSPACE.replace('}', ', box: 1}')}{ROBOT}")


def test_a_robot_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        robot().name = "other"  # type: ignore[misc]


A_LIMITS = "a/position: {lower: -1.0, upper: 1.0,"
HAND_STREAM = "hand: {topic: hand_states, type: joint_state"
LEFT = "left: {topic: left/image_raw, transport: raw"
MEASURED = "interfaces: [w/position, a/position]"
COMMANDED = "interfaces: [a/position, w/position]"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # Keys
        ("name: two_joint", "nam: two_joint", "name: required string is missing (keys present: na"),
        ("name: two_joint", "name: two_joint\nspeed: 1", "speed: unknown key (known here: cameras"),
        ("on_starvation: hold\n", "", "on_starvation: required string is missing (keys present: n"),
        ("max_camera_skew_s: 0.02\n", "", "max_camera_skew_s: required number is missing (keys pr"),
        (
            A_LIMITS,
            f"{A_LIMITS} jerk: 1,",
            "interfaces.a/position.jerk: unknown key (known here: j",
        ),
        # Types and ranges
        ("on_starvation: hold", "on_starvation: zero", "on_starvation: must be one of hold; found"),
        ("name: two_joint", "name: two_joint\nurdf: ''", "urdf: must be a non-empty string, found"),
        ("skew_s: 0.02", "skew_s: 0", "max_camera_skew_s: must be > 0, found 0.0"),
        ("skew_s: 0.02", "skew_s: fast", "max_camera_skew_s: must be a finite number, found str"),
        (
            A_LIMITS,
            "a/position: {lower: .nan, upper: 1.0,",
            "interfaces.a/position.lower: must be a finite number, found float nan",
        ),
        (
            A_LIMITS,
            "a/position: {lower: -1.0, upper: .inf,",
            "interfaces.a/position.upper: must be a finite number, found float inf",
        ),
        (
            "max_velocity: 50",
            "max_velocity: 0.0",
            "interfaces.g/position.max_velocity: must be > 0, found 0.0",
        ),
        (
            "max_acceleration: 5000",
            "max_acceleration: -1",
            "interfaces.g/position.max_acceleration: must be > 0, found -1.0",
        ),
        (
            "switched",
            "stepped",
            "g/position.joining: must be one of continuous, switched; found str 'stepped'",
        ),
        (
            HAND_STREAM,
            "hand: {topic: hand_states, type: odometry",
            "state_streams.hand.type: must be one of joint_state; found str 'odometry'",
        ),
        (
            "joint_trajectory",
            "servo",
            "hand.type: must be one of position_array, joint_trajectory; found str 'servo'",
        ),
        (
            LEFT,
            "left: {topic: left/image_raw, transport: h264",
            "cameras.left.transport: must be one of raw, compressed; found str 'h264'",
        ),
        (
            "max_age_s: 0.1,",
            "max_age_s: -0.1,",
            "state_streams.joints.max_age_s: must be > 0, found -0.1",
        ),
        # Names
        (
            MEASURED,
            "interfaces: [w/position, a]",
            "joints.interfaces: must be named <joint>/<position|velocity|effort>; found 'a'",
        ),
        (
            MEASURED,
            "interfaces: [w/position, a/angle]",
            "must be named <joint>/<position|velocity|effort>; found 'a/angle'",
        ),
        (MEASURED, "interfaces: [w/position, /position]", "interfaces: must be named <joint>/<pos"),
        (
            MEASURED,
            "interfaces: [w/position, w/position]",
            "state_streams.joints.interfaces: must be distinct, found 'w/position' more than once",
        ),
        (
            COMMANDED,
            "interfaces: [a/position, w/velocity]",
            "command_groups.arm.interfaces: must be named <joint>/<position>; found 'w/velocity'",
        ),
        # Contradictions
        (
            A_LIMITS,
            "a/position: {lower: 1.0, upper: 1.0,",
            "interfaces.a/position: lower 1.0 must be less than upper 1.0",
        ),
        (
            MEASURED,
            "interfaces: [w/position, a/position, g/position]",
            "state_streams: g/position stands in more than one entry; one is allowed",
        ),
        (
            COMMANDED,
            "interfaces: [a/position, w/position, g/position]",
            "command_groups: g/position stands in more than one entry; one is allowed",
        ),
        (
            HAND_STREAM,
            "left: {topic: hand_states, type: joint_state",
            "state_streams: 'left' is a camera as well; a name stands for one",
        ),
        (
            "topic: right/image_raw",
            "topic: left/image_raw",
            "top level: topic 'left/image_raw' stands in more than one entry; one is allowed",
        ),
        (
            "topic: arm/commands",
            "topic: hand_states",
            "topic 'hand_states' stands in more than one",
        ),
        (
            A_LIMITS,
            A_LIMITS.replace("a/", "b/"),
            "interfaces: commanded a/position has no limits here; these have: b/position, g/posi",
        ),
        (
            MEASURED,
            "interfaces: [w/position]",
            "command_groups: a/position is measured by no ... measured are w/position, g/position",
        ),
        (
            COMMANDED,
            "interfaces: [a/position]",
            "interfaces: w/position is in no command group; they have a/position, g/position",
        ),
    ],
)
def test_a_bad_robot_is_refused(old: str, new: str, problem: str):
    with refused(ConfigError, "robot.yaml: ", *problem.split(" ... ")):
        robot(changed(ROBOT, old, new))


@pytest.mark.parametrize("key", ["state_streams", "command_groups"])
def test_a_robot_measures_and_commands_something(key: str):
    start, rest = ROBOT.split(f"{key}:\n")
    kept = rest[rest.index("command_groups") :] if key == "state_streams" else ""

    with refused(ConfigError, f"robot.yaml: {key}: must hold at least one entry, found none"):
        robot(f"{start}{key}: {{}}\n{kept}")


@pytest.mark.parametrize("key", ["interfaces", "cameras", "state_streams", "command_groups"])
@pytest.mark.parametrize(("value", "found"), [("[a]", "list of 1 ['a']"), ("", "nothing")])
def test_a_part_is_a_mapping(key: str, value: str, found: str):
    before, after = ROBOT.split(f"\n{key}:\n")
    kept = after.splitlines()
    while kept and kept[0].startswith("  "):
        kept.pop(0)

    with refused(ConfigError, f"robot.yaml: {key}: must be a mapping, found {found}"):
        robot("\n".join([before, f"{key}: {value}", *kept]))


@pytest.mark.parametrize("key", ["interfaces", "cameras", "state_streams", "command_groups"])
def test_a_part_must_be_there(key: str):
    with refused(ConfigError, f"robot.yaml: {key}: required mapping is missing (keys present: "):
        robot(changed(ROBOT, f"\n{key}:\n", f"\n{key}_:\n"))


def test_state_streams_may_share_a_topic():
    spec = robot(changed(ROBOT, "topic: hand_states", "topic: joint_states"))

    assert [stream.topic for stream in spec.state_streams.values()] == ["joint_states"] * 2
