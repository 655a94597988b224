# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from test.core.helpers import POLICY, ROBOT, cameraless_robot, policy, robot
from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.past_frames import PastFrame
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec

ARM_ACTION = "action:\n  arm: {interfaces: [a/position], unit: rad}"


def with_arm_action(entry: str) -> PolicySpec:
    return policy(changed(POLICY, ARM_ACTION, f"action:\n  arm: {{{entry}}}"))


def test_a_policy_is_read():
    spec = policy()

    assert (spec.name, spec.source, spec.backend) == ("two_joint_policy", "policy.yaml", "hold")
    assert (spec.rate_hz, spec.step_ns, spec.horizon) == (10.0, 100_000_000, 10)
    assert spec.instruction_key == "task"
    assert spec.video == {"front": "left"}
    assert spec.state_names == ("a/position", "g/position")
    assert spec.action_names == ("a/position", "g/position")
    spec.check_against(robot())


def test_a_policy_is_loaded_from_a_file(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)

    assert load_policy_spec(path).source == str(path)


def test_a_step_is_rounded_to_nanoseconds():
    assert policy(changed(POLICY, "rate_hz: 10", "rate_hz: 30")).step_ns == 33_333_333


def test_a_policy_may_see_nothing_but_the_instruction():
    start, rest = POLICY.split("video:")
    blind = policy(f"{start}video: {{}}\nstate: {{}}\n{rest[rest.index('action:') :]}")

    assert (blind.video, blind.state, blind.state_names) == ({}, {}, ())
    blind.check_against(cameraless_robot())


def test_a_state_may_be_shown_under_two_keys():
    twice = changed(
        POLICY, "state:\n", "state:\n  again: {interfaces: [a/position], unit: degree}\n"
    )

    assert policy(twice).state_names == ("a/position", "a/position", "g/position")


@pytest.mark.parametrize(
    ("entry", "core", "shown"),
    [
        ("interfaces: [a/position], unit: rad", [0.5], [0.5]),
        ("interfaces: [a/position], unit: degree", [math.pi], [180.0]),
        (
            "interfaces: [a/position, w/position], unit: affine, scale: [100, -2], offset: [0, 1]",
            [0.5, 0.25],
            [50.0, 0.5],
        ),
    ],
)
def test_units_are_mapped_both_ways(entry: str, core: list[float], shown: list[float]):
    mapping = with_arm_action(entry).action["arm"]
    rows = np.array([core, core])

    np.testing.assert_allclose(mapping.to_policy(np.array(core)), shown)
    np.testing.assert_allclose(mapping.to_policy(rows), [shown, shown])
    np.testing.assert_allclose(mapping.from_policy(mapping.to_policy(rows)), rows)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("unit: rad", "action.arm.interfaces: required list is missing (keys present: unit)"),
        ("interfaces: a/position, unit: rad", "interfaces: must be a non-empty list of strings, f"),
        ("interfaces: [a/position]", "action.arm.unit: required string is missing (keys present"),
        (
            "interfaces: [a/position], unit: turns",
            "action.arm.unit: must be one of rad, degree, affine, lerobot_degrees, lerobot_ra",
        ),
        (
            "interfaces: [a/position], unit: affine",
            "action.arm.scale: required list is missing (keys present: interfaces, unit)",
        ),
        (
            "interfaces: [a/position], unit: affine, scale: [1, 2], offset: [0]",
            "action.arm.scale: must be a list of 1 numbers, found list of 2 [1, 2]",
        ),
        (
            "interfaces: [a/position], unit: affine, scale: [1], offset: [.nan]",
            "action.arm.offset: must hold finite numbers, found float nan",
        ),
        (
            "interfaces: [a/position, w/position], unit: affine, scale: [1, 0], offset: [0, 0]",
            "action.arm.scale: must not hold zero, found [1.0, 0.0]",
        ),
        (
            "interfaces: [a/position], unit: degree, scale: [1]",
            "action.arm.scale: may stand with unit affine only, found unit degree",
        ),
        (
            "interfaces: [a/position], unit: rad, offset: [1]",
            "action.arm.offset: may stand with unit affine only, found unit rad",
        ),
        (
            "interfaces: [a/position], unit: rad, units: rad",
            "action.arm.units: unknown key (known here: interfaces, offset, scale, unit)",
        ),
    ],
)
def test_a_bad_key_is_refused(entry: str, problem: str):
    with refused(ConfigError, "policy.yaml: ", problem):
        with_arm_action(entry)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: two_joint_policy\n", "", "name: required string is missing (keys present: backend"),
        ("backend: hold", "backend: 3", "backend: must be a non-empty string, found int 3"),
        ("rate_hz: 10", "rate_hz: 0", "rate_hz: must be >= 0.1 and <= 1000, found 0.0"),
        ("rate_hz: 10", "rate_hz: 1e9", "rate_hz: must be >= 0.1 and <= 1000, found 1000000000.0"),
        ("rate_hz: 10", "rate_hz: .nan", "rate_hz: must be a finite number, found float nan"),
        ("horizon: 10", "horizon: 0", "horizon: must be in [1, 1024], found 0"),
        ("horizon: 10", "horizon: ten", "horizon: must be an integer, found str 'ten'"),
        (
            "horizon: 10",
            "horizon: 10\nchunk: 5",
            "chunk: unknown key (known here: action, backend,",
        ),
        ("instruction_key: task\n", "", "instruction_key: required string is missing"),
        (
            "front: {camera: left}",
            "front: left",
            "video.front: must be a mapping, found str 'left'",
        ),
        (
            "{camera: left}",
            "{camera: left, crop: 1}",
            "video.front.crop: unknown key (known here: c",
        ),
        (
            f"{ARM_ACTION}\n  hand: {{interfaces: [g/position], unit: rad}}",
            "action: {}",
            "action: must hold at least one entry, found none",
        ),
        (
            ARM_ACTION,
            "action:\n  arm: {interfaces: [a/position, g/position], unit: rad}",
            "action: g/position stands in more than one entry; one is allowed",
        ),
    ],
)
def test_a_bad_policy_is_refused(old: str, new: str, problem: str):
    with refused(ConfigError, f"policy.yaml: {problem}"):
        policy(changed(POLICY, old, new))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "camera: left",
            "camera: top",
            "video: camera top is not in robot two_joint (robot.yaml), which has left, right",
        ),
        (
            "state:\n  arm: {interfaces: [a/position]",
            "state:\n  arm: {interfaces: [b/position, w/position, c/velocity]",
            "state: interface b/position, c/velocity is not in ... has w/position, a/position, ",
        ),
        (
            ARM_ACTION,
            "action:\n  arm: {interfaces: [b/position], unit: rad}",
            "action: interface b/position is not in ... has a/position, w/position, g/position",
        ),
    ],
)
def test_a_policy_that_does_not_fit_the_robot_is_refused(old: str, new: str, problem: str):
    with refused(ConfigError, "policy.yaml: ", *problem.split(" ... ")):
        policy(changed(POLICY, old, new)).check_against(robot())


def test_a_policy_that_sees_does_not_fit_a_robot_without_cameras():
    with refused(ConfigError, "policy.yaml: video: camera left is not in robot", "has none"):
        policy().check_against(cameraless_robot())


def test_what_is_measured_only_cannot_be_commanded():
    base = changed(
        ROBOT, "0.2, interfaces: [g/position]", "0.2, interfaces: [g/position, x/velocity]"
    )
    moving = changed(POLICY, ARM_ACTION, "action:\n  arm: {interfaces: [x/velocity], unit: rad}")

    with refused(ConfigError, "policy.yaml: action: interface x/velocity is not in robot"):
        policy(moving).check_against(robot(base))


PAST = changed(POLICY, "{camera: left}", "{camera: left, delta_indices: [-20, 0]}")


def test_a_policy_may_look_at_the_past():
    spec = policy(PAST)

    assert spec.video == {"front": "left"}
    assert spec.video_deltas == (-20, 0)
    # Twenty steps of a tenth of a second.
    assert spec.past_frames == {"left@-20": PastFrame("left", 2_000_000_000)}
    assert policy().video_deltas == (0,)
    assert policy().past_frames == {}


def test_all_cameras_show_the_same_moments():
    two = changed(PAST, "video:\n", "video:\n  top: {camera: right}\n")

    with refused(ConfigError, "video: delta_indices must be the same", "top: [0]; front: [-20, 0]"):
        policy(two)


def test_lerobots_policies_keep_their_own_history():
    names = "{type: act, checkpoint: x, device: cpu, state: [a.pos, g.pos], action: [a.pos, g.pos]}"

    with refused(ConfigError, "policy.yaml: video: delta_indices cannot stand with lerobot"):
        policy(f"{PAST}lerobot: {names}\n")
