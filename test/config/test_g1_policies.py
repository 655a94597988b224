# SPDX-License-Identifier: Apache-2.0
"""What comes with the package for GR00T on the G1, against Unitree's and NVIDIA's own numbers.

The numbers are typed here once more, from their sources, and not taken from our files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from test.support.served import served
from vla_ros.backends.gr00t_http import Backend as HttpBackend
from vla_ros.backends.gr00t_http import HttpConfig
from vla_ros.backends.gr00t_zmq import Backend, Gr00tConfig
from vla_ros.backends.hold import Backend as Hold
from vla_ros.backends.hold import HoldConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.observation import Observation
from vla_ros.core.policy_io import actions_from, policy_input
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec

ROBOTS = ("g1_inspire", "g1_inspire_real")
POLICIES = ("g1_gr00t_n15", "g1_gr00t_n16", "g1_gr00t_n17")
INSTRUCTION = "pick up the cylinder"

# unitree_lerobot, Unitree_G1_Inspire: names of the 26 values, in their order.
SHOULDER, WRIST = ("pitch", "roll", "yaw"), ("roll", "pitch", "yaw")
ARM = (*(f"shoulder_{axis}" for axis in SHOULDER), "elbow", *(f"wrist_{axis}" for axis in WRIST))
FINGERS = ("pinky", "ring", "middle", "index", "thumb_bend", "thumb_rotation")
# Of the hand's URDF, and its range [rad]: open and closed.
HAND = {
    "pinky": ("pinky_proximal", 0.0, 1.7),
    "ring": ("ring_proximal", 0.0, 1.7),
    "middle": ("middle_proximal", 0.0, 1.7),
    "index": ("index_proximal", 0.0, 1.7),
    "thumb_bend": ("thumb_proximal_pitch", 0.0, 0.5),
    "thumb_rotation": ("thumb_proximal_yaw", -0.1, 1.3),
}
LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
JOINTS = {
    **{f"{side}_arm": [f"{side}_{joint}_joint" for joint in ARM] for side in ("left", "right")},
    **{f"{side}_leg": [f"{side}_{joint}_joint" for joint in LEG] for side in ("left", "right")},
    "waist": [f"waist_{joint}_joint" for joint in ("yaw", "roll", "pitch")],
    "left_hand": [f"L_{HAND[finger][0]}_joint" for finger in FINGERS],
    "right_hand": [f"R_{HAND[finger][0]}_joint" for finger in FINGERS],
}
UPPER = ["left_arm", "right_arm", "left_hand", "right_hand"]
# Isaac-GR00T: N1.5's UnitreeG1DataConfig, UNITREE_G1 of N1.6 and of N1.7: the video key, the keys
# of the state, and the horizon.
LAYOUTS = {
    "g1_gr00t_n15": ("rs_view", UPPER, 16),
    "g1_gr00t_n16": ("ego_view", ["left_leg", "right_leg", "waist", *UPPER], 30),
    "g1_gr00t_n17": ("ego_view", ["left_leg", "right_leg", "waist", *UPPER], 50),
}

each_policy = pytest.mark.parametrize("name", POLICIES)


def policy(name: str) -> PolicySpec:
    return load_policy_spec(config_file("policies", name))


def robot(name: str = "g1_inspire") -> RobotSpec:
    return load_robot_spec(config_file("robots", name))


def observation(spec: PolicySpec) -> Observation:
    body, rng = robot(), np.random.default_rng(5)
    ranges = {name: (limits.lower, limits.upper) for name, limits in body.limits.items()}
    state = [rng.uniform(*ranges.get(name, (-0.3, 0.3))) for name in body.state_names]
    images = {
        camera: rng.integers(0, 256, (body.cameras[camera].height, 640, 3), dtype=np.uint8)
        for camera in spec.video.values()
    }
    return Observation(
        stamp_ns=10**9,
        instruction=INSTRUCTION,
        images=images,
        state_names=body.state_names,
        state=np.array(state),
    )


@each_policy
@pytest.mark.parametrize("body", ROBOTS)
def test_a_policy_fits_both_robots(name: str, body: str):
    policy(name).check_against(robot(body))


@each_policy
def test_keys_are_in_nvidias_names_and_values_in_unitrees_order(name: str):
    spec = policy(name)
    video, state, horizon = LAYOUTS[name]

    assert (list(spec.video), list(spec.state), spec.horizon) == ([video], state, horizon)
    assert list(spec.action) == UPPER
    assert spec.instruction_key == "annotation.human.task_description"
    assert spec.rate_hz == 30.0  # what unitree_lerobot writes
    assert spec.video_deltas == (0,)
    for keys in (spec.state, spec.action):
        for key, mapping in keys.items():
            expected = [f"{joint}/position" for joint in JOINTS[key]]
            assert list(mapping.interfaces) == expected


@each_policy
def test_a_hand_is_1_when_open_and_0_when_closed(name: str):
    spec = policy(name)
    opened = np.array([HAND[finger][1] for finger in FINGERS])
    closed = np.array([HAND[finger][2] for finger in FINGERS])
    for keys in (spec.state, spec.action):
        for key in ("left_hand", "right_hand"):
            hand = keys[key]
            np.testing.assert_allclose(hand.to_policy(opened), 1.0, atol=1e-7)
            np.testing.assert_allclose(hand.to_policy(closed), 0.0, atol=1e-7)
            halfway = hand.from_policy(np.full(6, 0.5))
            np.testing.assert_allclose(halfway, [0.85, 0.85, 0.85, 0.85, 0.25, 0.6], atol=1e-7)


@each_policy
def test_arms_are_radians(name: str):
    spec = policy(name)
    pose = np.linspace(-1.0, 1.0, 7)
    for keys in (spec.state, spec.action):
        for key in ("left_arm", "right_arm"):
            np.testing.assert_array_equal(keys[key].to_policy(pose), pose)


def test_the_26_values_of_n15_are_those_of_unitrees_dataset():
    spec, given = policy("g1_gr00t_n15"), observation(policy("g1_gr00t_n15"))
    place = {name: place for place, name in enumerate(given.state_names)}
    expected = []
    for side in ("left", "right"):
        expected += [given.state[place[f"{side}_{joint}_joint/position"]] for joint in ARM]
    for side in "LR":
        for finger in FINGERS:
            joint, opened, closed = HAND[finger]
            angle = given.state[place[f"{side}_{joint}_joint/position"]]
            expected.append((closed - angle) / (closed - opened))

    np.testing.assert_allclose(policy_input(spec, given).state_vector, expected, atol=1e-7)


@pytest.mark.parametrize("name", ["g1_gr00t_n16", "g1_gr00t_n17"])
def test_the_answers_of_other_hands_are_refused_and_what_others_command_is_left_alone(name: str):
    spec = policy(name)
    # UNITREE_G1 with Dex3 hands: (T, D) by key.
    widths = {"left_arm": 7, "right_arm": 7, "left_hand": 7, "right_hand": 7, "waist": 3}
    widths.update(base_height_command=1, navigate_command=3)
    answer = {key: np.zeros((spec.horizon, width)) for key, width in widths.items()}
    with pytest.raises(ActionError, match=r"action key 'left_hand' .* must be \(\d+, 6\) numbers"):
        actions_from(spec, answer)

    for hand in ("left_hand", "right_hand"):
        answer[hand] = answer[hand][:, :6]
    assert actions_from(spec, answer).shape == (spec.horizon, 26)


@contextmanager
def held(name: str, *more: str) -> Iterator[int]:
    """The port where a policy server holds the robot where it is."""
    spec = load_policy_spec(config_file("policies", name))
    with served(Hold(HoldConfig(), robot=robot(), policy=spec), *more) as port:
        yield port


def client(spec: PolicySpec, port: int) -> Backend:
    return Backend(Gr00tConfig(port=port, timeout_s=10.0), robot=robot(), policy=spec)


@each_policy
@pytest.mark.parametrize("wire", ["A5", "A6", "B"])
def test_a_policy_is_served_in_every_wire(name: str, wire: str):
    spec = policy(name)
    given = observation(spec)
    with held(name, "--modality-wire", wire) as port:
        ours = client(spec, port)
        assert ours.connect().description.endswith(f"wire {wire}")
        chunk = ours.infer(given)
        ours.reset()
        ours.close()
    assert_held(spec, given, chunk)


@each_policy
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_policy_is_served_over_http(name: str, encoding: str):
    spec = policy(name)
    given = observation(spec)
    with held(name, "--protocol", "gr00t_http") as port:
        config = HttpConfig(port=port, timeout_s=10.0, encoding=encoding)
        ours = HttpBackend(config, robot=robot(), policy=spec)
        assert f"model {name}, application/{encoding}" in ours.connect().description
        chunk = ours.infer(given)
        ours.reset()
        ours.close()
    assert_held(spec, given, chunk)


def assert_held(spec: PolicySpec, given: Observation, chunk: ActionChunk) -> None:
    assert sorted(chunk.names) == sorted(robot().command_names)
    assert chunk.actions.shape == (LAYOUTS[spec.name][2], 26)
    # float32 on the way there and back.
    expected = np.tile(given.select(chunk.names), (spec.horizon, 1))
    np.testing.assert_allclose(chunk.actions, expected, atol=1e-6)


def test_a_server_of_another_generation_is_refused():
    with held("g1_gr00t_n16") as port:
        for name, text in (("g1_gr00t_n15", "video keys differ"), ("g1_gr00t_n17", "offsets")):
            ours = client(policy(name), port)
            with pytest.raises(ConfigError, match=text):
                ours.connect()
            ours.close()


def test_the_real_robot_is_the_simulated_one_but_slower_and_fresher():
    real, simulated = robot("g1_inspire_real"), robot()

    assert real.command_names == simulated.command_names
    assert real.state_names == simulated.state_names
    assert real.command_groups == simulated.command_groups
    for name, limits in real.limits.items():
        other = simulated.limits[name]
        assert (limits.lower, limits.upper) == (other.lower, other.upper)
        assert limits.max_velocity <= min(other.max_velocity, 2.0)
        assert limits.max_acceleration < other.max_acceleration
    assert real.max_camera_skew_s < simulated.max_camera_skew_s
    for camera, spec in real.cameras.items():
        other_camera = simulated.cameras[camera]
        # One eye of the head's 480x1280. Nobody has measured where the cameras are.
        assert (spec.height, spec.width, spec.geometry) == (480, 640, None)
        assert spec.max_age_s < other_camera.max_age_s
        assert replace(spec, geometry=other_camera.geometry, max_age_s=1.0) == replace(
            other_camera, max_age_s=1.0
        )
    for stream, described in real.state_streams.items():
        assert described.max_age_s < simulated.state_streams[stream].max_age_s
