# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from test.core.helpers import policy
from test.core.refusals import refused
from test.core.test_observation import BAD_IMAGES, IMAGE
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.policy_io import (
    PolicyInput,
    action_columns,
    actions_by_key,
    actions_from,
    observation_from,
    policy_input,
    split_columns,
)
from vla_ros.core.policy_spec import PolicySpec

POLICY = """
name: pair
backend: hold
rate_hz: 10
horizon: 2
instruction_key: task
video:
  front: {camera: left}
state:
  arm: {interfaces: [b/position, a/position], unit: affine, scale: [10, 100], offset: [1, 0]}
  hand: {interfaces: [g/position], unit: rad}
action:
  arm: {interfaces: [b/position, a/position], unit: affine, scale: [10, 100], offset: [1, 0]}
  hand: {interfaces: [g/position], unit: rad}
"""
PAIR = policy(POLICY)
BLIND = policy(
    f"{POLICY[: POLICY.index('video')]}video: {{}}\nstate: {{}}\n{POLICY[POLICY.index('action') :]}"
)


def observation() -> Observation:
    return Observation(
        stamp_ns=5,
        instruction="wave",
        images={"left": IMAGE, "right": IMAGE},
        state_names=("a/position", "a/velocity", "b/position", "g/position"),
        state=np.array([0.1, 9.0, 0.2, 0.3]),
    )


def given_input(**changes: object) -> PolicyInput:
    default = PolicyInput(
        video={"front": IMAGE},
        state={"arm": np.array([3.0, 10.0]), "hand": np.array([0.3])},
        language={"task": "wave"},
    )
    return dataclasses.replace(default, **changes)  # type: ignore[arg-type]


def answer(**changes: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    arm = np.array([[3.0, 10.0], [5.0, 20.0]], dtype=np.float32)
    return {"arm": arm, "hand": np.array([[0.5], [0.6]]), **changes}


def test_an_observation_is_told_in_the_policys_keys_and_units():
    told = policy_input(PAIR, observation())

    assert list(told.video) == ["front"]
    assert told.video["front"] is IMAGE
    assert {key: values.tolist() for key, values in told.state.items()} == {
        "arm": [3.0, 10.0],
        "hand": [0.3],
    }
    assert told.language == {"task": "wave"}


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"images": {}}, "camera left is not in the observation, which has none"),
        ({"images": {"top": IMAGE}}, "camera left is not in the observation, which has top"),
        (
            {"state_names": ("a/position", "b/position"), "state": np.zeros(2)},
            "state g/position is not in the observation, which has a/position, b/position",
        ),
    ],
)
def test_an_observation_that_lacks_something_is_refused(facts: dict[str, object], problem: str):
    with refused(ConfigError, problem):
        policy_input(PAIR, dataclasses.replace(observation(), **facts))  # type: ignore[arg-type]


def test_an_observation_is_made_of_what_a_client_sent():
    request = ObservationRequest(request_id=3, epoch=1, stamp_ns=4, must_go=False)

    made = observation_from(PAIR, given_input(), stamp_ns=8, request=request)

    assert (made.stamp_ns, made.instruction, made.request) == (8, "wave", request)
    assert list(made.images) == ["left"]
    assert made.state_names == ("b/position", "a/position", "g/position")
    np.testing.assert_allclose(made.state, [0.2, 0.1, 0.3])


def test_what_the_policy_does_not_know_is_ignored():
    more = given_input(
        video={"front": IMAGE, "top": IMAGE[..., 0]},
        state={**given_input().state, "leg": np.zeros(9)},
        language={"task": "wave", "mood": "glad"},
    )

    assert list(observation_from(PAIR, more, stamp_ns=0).images) == ["left"]


def test_a_policy_without_eyes_and_state_is_told_the_instruction():
    told = policy_input(BLIND, observation())

    assert (told.video, told.state) == ({}, {})
    assert observation_from(BLIND, told, stamp_ns=0).state.shape == (0,)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"video": {}}, "video key 'front' is missing from the observation, which has none"),
        (
            {"state": {"hand": np.zeros(1)}},
            "state key 'arm' is missing from the observation, which has hand",
        ),
        (
            {"language": {"instruction": "wave"}},
            "language key 'task' is missing from the observation, which has instruction",
        ),
    ],
)
def test_a_missing_key_is_refused(changes: dict[str, object], problem: str):
    with refused(ConfigError, problem):
        observation_from(PAIR, given_input(**changes), stamp_ns=0)


@pytest.mark.parametrize(("image", "found"), BAD_IMAGES)
def test_what_a_client_sent_for_an_image_is_refused(image: NDArray[np.uint8], found: str):
    with refused(ConfigError, f"video key 'front' must be (H, W, 3) uint8, found {found}"):
        observation_from(PAIR, given_input(video={"front": image}), stamp_ns=0)


@pytest.mark.parametrize(
    ("arm", "found"),
    [
        (np.zeros(3), "(3,) float64"),
        (np.zeros((1, 2)), "(1, 2) float64"),
        (np.array(["1", "2"]), "(2,) <U1"),
        (np.array([True, False]), "(2,) bool"),
        (np.array([1, None]), "(2,) object"),
        (np.array([1j, 2j]), "(2,) complex128"),
    ],
)
def test_a_state_of_another_shape_or_type_is_refused(arm: NDArray[np.float64], found: str):
    with refused(
        ConfigError,
        f"state key 'arm' must be (2,) numbers for b/position, a/position; found {found}",
    ):
        observation_from(PAIR, given_input(state={**given_input().state, "arm": arm}), stamp_ns=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_refused(value: float):
    state = {"arm": np.array([3.0, value]), "hand": np.zeros(1)}

    with refused(ConfigError, f"state of a/position is {value}; it must be finite"):
        observation_from(PAIR, given_input(state=state), stamp_ns=0)


def test_actions_are_taken_from_an_answer():
    actions = actions_from(PAIR, answer(leg=np.zeros((9, 9))))

    assert actions.dtype == np.float64
    np.testing.assert_allclose(actions, [[0.2, 0.1, 0.5], [0.4, 0.2, 0.6]])


@pytest.mark.parametrize(("by_key", "found"), [({}, "none"), ({"hand": np.zeros((2, 1))}, "hand")])
def test_an_answer_that_lacks_a_key_is_refused(
    by_key: Mapping[str, NDArray[np.float64]], found: str
):
    with refused(ActionError, f"action key 'arm' is missing; the answer has {found}"):
        actions_from(PAIR, by_key)


@pytest.mark.parametrize(
    ("arm", "found"),
    [
        (np.zeros((3, 2)), "(3, 2) float64"),
        (np.zeros((2, 3)), "(2, 3) float64"),
        (np.zeros((1, 2, 2)), "(1, 2, 2) float64"),
        (np.zeros(2), "(2,) float64"),
        (np.full((2, 2), "1"), "(2, 2) <U1"),
        (np.full((2, 2), None), "(2, 2) object"),
    ],
)
def test_actions_of_another_shape_or_type_are_refused(arm: NDArray[np.float64], found: str):
    with refused(
        ActionError,
        "action key 'arm' of policy.yaml must be (2, 2) numbers for b/position, a/position",
        f"found {found}",
    ):
        actions_from(PAIR, answer(arm=arm))


def test_actions_that_are_not_finite_are_left_to_the_chunk():
    actions = actions_from(PAIR, answer(hand=np.array([[0.5], [np.nan]])))

    with refused(ActionError, "action 1 of g/position is nan"):
        ActionChunk(0, 1, PAIR.action_names, actions)


def test_a_chunk_is_told_in_the_policys_keys_and_units():
    names = ("g/position", "z/position", "a/position", "b/position")
    chunk = ActionChunk(0, 1, names, np.array([[0.5, 7.0, 0.1, 0.2], [0.6, 8.0, 0.2, 0.4]]))

    by_key = actions_by_key(PAIR, chunk)

    assert list(by_key) == ["arm", "hand"]
    np.testing.assert_allclose(by_key["arm"], [[3.0, 10.0], [5.0, 20.0]])
    np.testing.assert_allclose(by_key["hand"], [[0.5], [0.6]])


def test_a_chunk_that_lacks_an_interface_is_refused():
    chunk = ActionChunk(0, 1, ("a/position",), np.zeros((2, 1)))

    with refused(
        ActionError, "the chunk does not command b/position, g/position; it has a/position"
    ):
        actions_by_key(PAIR, chunk)


@st.composite
def policies(draw: st.DrawFn) -> PolicySpec:
    """Policies with one to eight joints in random keys, units and orders."""
    joints = [f"j{index}/position" for index in range(draw(st.integers(1, 8)))]
    sizes = st.floats(1e-3, 1e3).flatmap(lambda size: st.sampled_from([size, -size]))

    def keys() -> str:
        left, lines = draw(st.permutations(joints)), []
        while left:
            count = draw(st.integers(1, len(left)))
            entry: dict[str, object] = {"interfaces": left[:count]}
            entry["unit"] = draw(st.sampled_from(["rad", "degree", "affine"]))
            if entry["unit"] == "affine":
                many = {"min_size": count, "max_size": count}
                entry["scale"] = draw(st.lists(sizes, **many))
                entry["offset"] = draw(st.lists(st.floats(-1e3, 1e3), **many))
            lines.append(f"  key{len(lines)}: {json.dumps(entry)}\n")
            left = left[count:]
        return "".join(lines)

    facts = f"name: any\nbackend: hold\nrate_hz: 10\nhorizon: {draw(st.integers(1, 5))}\n"
    video = "instruction_key: task\nvideo:\n  front: {camera: left}\n"
    return policy(f"{facts}{video}state:\n{keys()}action:\n{keys()}")


def numbers(draw: st.DrawFn, count: int) -> NDArray[np.float64]:
    return np.array(draw(st.lists(st.floats(-1e3, 1e3), min_size=count, max_size=count)))


@given(st.data())
def test_what_a_client_tells_is_what_a_server_understands(data: st.DataObject):
    spec = data.draw(policies())
    names = tuple(data.draw(st.permutations(spec.state_names)))
    state = numbers(data.draw, len(names))
    seen = Observation(7, data.draw(st.text()), {"left": IMAGE}, names, state)

    made = observation_from(spec, policy_input(spec, seen), stamp_ns=7)

    assert (made.stamp_ns, made.instruction) == (seen.stamp_ns, seen.instruction)
    assert made.images["left"] is IMAGE
    np.testing.assert_allclose(made.select(names), seen.state, rtol=1e-9, atol=1e-6)


@given(st.data())
def test_what_a_server_answers_is_what_a_client_executes(data: st.DataObject):
    spec = data.draw(policies())
    names = tuple(data.draw(st.permutations(spec.action_names)))
    actions = numbers(data.draw, spec.horizon * len(names)).reshape(spec.horizon, len(names))
    chunk = ActionChunk(7, spec.step_ns, names, actions)

    executed = actions_from(spec, actions_by_key(spec, chunk))

    order = [names.index(name) for name in spec.action_names]
    np.testing.assert_allclose(executed, actions[:, order], rtol=1e-9, atol=1e-6)


def test_the_state_of_all_keys_is_one_vector():
    assert policy_input(PAIR, observation()).state_vector.tolist() == [3.0, 10.0, 0.3]
    assert policy_input(BLIND, observation()).state_vector.shape == (0,)


def test_the_columns_of_a_chunk_are_in_the_order_of_the_keys_and_in_their_units():
    names = ("g/position", "a/position", "b/position")
    chunk = ActionChunk(7, PAIR.step_ns, names, np.array([[0.3, 0.1, 0.2]]))

    assert action_columns(PAIR, chunk).tolist() == [[3.0, 10.0, 0.3]]


def test_columns_are_split_by_key_and_what_is_too_much_is_the_last_key_s():
    split = split_columns(PAIR.action, np.arange(8.0).reshape(2, 4))

    assert {key: part.tolist() for key, part in split.items()} == {
        "arm": [[0.0, 1.0], [4.0, 5.0]],
        "hand": [[2.0, 3.0], [6.0, 7.0]],
    }
    assert split_columns({}, np.zeros(0)) == {}


PAST = policy(POLICY.replace("{camera: left}", "{camera: left, delta_indices: [-4, -2, 0]}"))
FRAMES = np.stack([IMAGE, IMAGE // 2, IMAGE // 3])
NAMES = ("left@-4", "left@-2", "left")


def test_a_policy_that_looks_at_the_past_is_shown_its_frames_the_oldest_first():
    seen = dataclasses.replace(observation(), images=dict(zip(NAMES, FRAMES, strict=True)))

    told = policy_input(PAST, seen)
    made = observation_from(PAST, told, stamp_ns=0)

    np.testing.assert_array_equal(told.video["front"], FRAMES)
    assert tuple(made.images) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(made.images[name], seen.images[name])


def test_a_past_that_was_not_observed_is_named():
    with refused(
        ConfigError, "camera left@-4, left@-2 is not in", "whoever observes must know the policy"
    ):
        policy_input(PAST, observation())


@pytest.mark.parametrize(
    ("video", "problem"),
    [
        (FRAMES[:2], "must have 3 frames, for the moments [-4, -2, 0]; found (2, "),
        (np.uint8(3), "must have 3 frames, for the moments [-4, -2, 0]; found ()"),
        (FRAMES[..., 0], "must be (H, W, 3) uint8"),
        (FRAMES.astype(np.float32), "must be (H, W, 3) uint8"),
    ],
)
def test_a_past_that_is_none_is_refused(video: NDArray[np.uint8], problem: str):
    with refused(ConfigError, "video key 'front'", problem):
        observation_from(PAST, given_input(video={"front": video}), stamp_ns=0)
