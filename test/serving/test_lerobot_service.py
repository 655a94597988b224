# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import re
import sys
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import INSTRUCTION, POLICY, STAMP_NS, moves, observation, policy
from test.support.lerobot_client import CAMERAS, STATE_VALUES, setup, shown, values
from test.support.lerobot_peers import CHECKPOINT, LEROBOT_POLICY, STATE
from vla_ros.core.errors import ConfigError, WireFormatError
from vla_ros.serving.lerobot_service import (
    FORGOTTEN_AFTER_S,
    MAX_CLIENTS,
    LeRobotService,
    Seen,
    Terms,
)
from vla_ros.wire.lerobot.actions import TimedActions, decode_actions
from vla_ros.wire.lerobot.observation import TimedObservation, encode_observation
from vla_ros.wire.lerobot.protobuf import decode_data, encode_data

MAX_BYTES = 1_000_000
MIXED = (STATE[5], *STATE[:5])


def service(text: str = LEROBOT_POLICY, **options: Any) -> LeRobotService:
    return LeRobotService(policy(text), **{"max_bytes": MAX_BYTES, **options})


def act(ours: LeRobotService, seen: Seen, made: GoldenBackend | None = None) -> TimedActions:
    """What is answered to an observation."""
    asked = ours.inference(seen)
    chunk = (made or GoldenBackend(policy=policy(LEROBOT_POLICY))).infer(asked.observation)
    return decode_actions(decode_data(asked.answer(chunk)))


def without(*names: str) -> bytes:
    kept = {name: value for name, value in values().items() if name not in names}
    return encode_observation(TimedObservation(1.0, 0, kept, True))


def test_a_setup_is_read():
    asked, terms = service().read_setup(setup())
    assert (asked.policy_type, asked.checkpoint) == ("act", CHECKPOINT)
    assert terms == Terms(STATE, 16)


def test_who_sends_more_than_is_needed_is_let_in():
    more = setup(("other.pos", *STATE), cameras={**CAMERAS, "top": (9, 9)}, count=3)
    assert service().read_setup(more)[1] == Terms(("other.pos", *STATE), 3)


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (setup(STATE[:4]), ConfigError, "state joint_4.pos, claw.pos is missing from the client's"),
        (setup(cameras={"front": (3, 4)}), ConfigError, "camera 'wrist' is missing .* have front$"),
        (setup(cameras={}), ConfigError, "camera 'front' is missing .* have none"),
        (encode_data(b""), WireFormatError, ""),
        (b"\xff", WireFormatError, "protobuf"),
        (encode_data(shown()), WireFormatError, "TimedObservation"),
        (encode_data(bytes(MAX_BYTES)), WireFormatError, "at most 1000000 are allowed"),
    ],
)
def test_a_setup_that_does_not_fit_is_refused(message: bytes, kind: Any, text: str):
    with pytest.raises(kind) as refused:
        service().read_setup(message)
    assert re.search(text, str(refused.value))


@pytest.mark.parametrize(("given", "expected"), [([], {CHECKPOINT}), (["a", "b/c"], {"a", "b/c"})])
def test_the_policys_own_checkpoint_is_served_unless_others_are_named(
    given: list[str], expected: set[str]
):
    assert service(checkpoints=given).checkpoints == expected


def test_an_observation_is_read():
    seen = service().read(shown(7, must_go=True), Terms(STATE, 5))

    expected = observation()
    assert (seen.timestep, seen.must_go, seen.count) == (7, True, 5)
    assert seen.columns == (0, 1, 2, 3, 4, 5)
    assert abs(seen.observation.stamp_ns - STAMP_NS) < 1000
    assert seen.observation.instruction == INSTRUCTION
    assert seen.observation.state_names == expected.state_names
    np.testing.assert_array_equal(seen.observation.state, expected.state)
    for camera, image in expected.images.items():
        np.testing.assert_array_equal(seen.observation.images[camera], image)


def test_values_are_found_by_their_names():
    names = ("other.pos", *reversed(STATE))
    mixed = {name: values().get(name, 9.0) for name in names}
    data = encode_observation(
        TimedObservation(1.0, 0, {**mixed, **values(), "extra": np.zeros(3)}, True)
    )
    seen = service().read(data, Terms(names, None))
    np.testing.assert_array_equal(seen.observation.state, STATE_VALUES)


def test_who_says_no_task_has_none():
    assert service().read(without("task"), Terms()).observation.instruction == ""


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (
            without("joint_3.pos"),
            ConfigError,
            "state 'joint_3.pos' must be a number, found NoneType",
        ),
        (shown(**{"claw.pos": "x"}), ConfigError, "state 'claw.pos' must be a number, found str"),
        (shown(**{"claw.pos": np.nan}), ConfigError, "claw/position is nan; it must be finite"),
        (shown(**{"claw.pos": np.inf}), ConfigError, "claw/position is inf"),
        (without("wrist"), ConfigError, "video key 'wrist' is missing .* which has front"),
        (shown(wrist="x"), ConfigError, "video key 'wrist' is missing"),
        (shown(wrist=np.zeros((3, 4))), ConfigError, r"'wrist' must be \(H, W, 3\) uint8, found"),
        (shown(front=np.zeros((0, 4, 3), np.uint8)), ConfigError, r"\(H, W, 3\) uint8"),
        (shown(task=1.0), ConfigError, "task must be a text, found float"),
        (shown()[:100], WireFormatError, ""),
        (b"", WireFormatError, ""),
        (bytes(MAX_BYTES + 1), WireFormatError, "at most 1000000 are allowed"),
        (
            encode_observation(TimedObservation(np.nan, 0, values(), True)),
            ConfigError,
            "timestamp must be finite",
        ),
        (
            encode_observation(TimedObservation(1e300, 0, values(), True)),
            ConfigError,
            "timestamp must be finite",
        ),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(data: bytes, kind: Any, text: str):
    with pytest.raises(kind) as refused:
        service().read(data, Terms(STATE, 16))
    assert re.search(text, str(refused.value))


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("import sys; sys.hacked = True",))


def test_nothing_that_is_sent_is_run():
    evil = pickle.dumps({"observation": Evil()})
    with pytest.raises(WireFormatError, match="exec"):
        service().read(evil, Terms())
    with pytest.raises(WireFormatError, match="exec"):
        service().read_setup(encode_data(pickle.dumps(Evil())))
    assert not hasattr(sys, "hacked")


def test_actions_are_answered():
    made = GoldenBackend(policy=policy(LEROBOT_POLICY))
    ours = service()
    answer = act(ours, ours.read(shown(40), Terms(STATE, 100)), made)

    np.testing.assert_array_equal(answer.actions, moves())
    assert answer.actions.dtype == np.float32
    np.testing.assert_array_equal(answer.timesteps, np.arange(40, 56))
    np.testing.assert_allclose(answer.timestamps, STAMP_NS * 1e-9 + np.arange(16) / 30, atol=1e-6)
    assert len(made.seen) == 1


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (15, 15), (16, 16), (17, 16), (None, 16)])
def test_as_many_actions_are_answered_as_are_wanted(count: int | None, expected: int):
    ours = service()
    answer = act(ours, ours.read(shown(), Terms(STATE, count)))
    assert len(answer.actions) == expected


def test_who_must_go_has_nothing_left_and_is_asked_whether_it_still_waits():
    ours = service()
    read = [ours.read(shown(must_go=must_go), Terms()) for must_go in (True, False)]
    asked = [ours.inference(seen, wanted=lambda: False) for seen in read]
    assert [one.runs_out_in_s for one in asked] == [0.0, None]
    assert not asked[0].wanted()
    assert ours.inference(read[0]).wanted()


def columns(terms: Terms, data: bytes | None = None, text: str = LEROBOT_POLICY) -> np.ndarray:
    """The first action that is answered."""
    ours = service(text)
    made = GoldenBackend(policy=policy(text))
    row: np.ndarray = act(ours, ours.read(data or shown(), terms), made).actions[0]
    return row


def test_actions_come_in_the_clients_own_order():
    ours = dict(zip(STATE, moves()[0], strict=True))
    for names in (STATE, MIXED, tuple(reversed(STATE))):
        np.testing.assert_array_equal(columns(Terms(names)), [ours[name] for name in names])


def test_the_order_of_who_did_not_say_it_is_that_of_the_values():
    mixed = {**{name: values()[name] for name in MIXED}, **values()}
    data = encode_observation(TimedObservation(1.0, 0, mixed, True))
    np.testing.assert_array_equal(columns(Terms(), data), moves()[0][[5, 0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(columns(Terms()), moves()[0])


FLIPPED = LEROBOT_POLICY.replace(
    "state: [joint_0.pos, joint_1.pos,", "state: [joint_1.pos, joint_0.pos,"
)
FEWER = (
    LEROBOT_POLICY.replace("state: {single_arm: {", "state: {other_arm: {")
    .replace(", gripper: {interfaces: [claw/position], unit: rad}}\naction", "}\naction")
    .replace(f"state: [{', '.join(STATE)}]", f"state: [{', '.join(STATE[:5])}]")
)


def test_a_policy_with_two_orders_answers_in_its_own():
    assert FLIPPED != LEROBOT_POLICY
    order = (STATE[1], STATE[0], *STATE[2:])
    np.testing.assert_array_equal(columns(Terms(order), text=FLIPPED), moves()[0])


def test_an_order_that_does_not_tell_that_of_the_actions_is_refused():
    np.testing.assert_array_equal(columns(Terms(STATE), text=FEWER), moves()[0])
    flipped = (STATE[1], STATE[0], *STATE[2:])
    with pytest.raises(ConfigError, match=r"must be in the order joint_0\.pos, .* found joint_1"):
        service(FEWER).read_setup(setup(flipped))


def test_units_are_the_policys():
    text = LEROBOT_POLICY.replace("unit: rad", "unit: degree")
    degrees = {
        name: float(np.degrees(value)) for name, value in zip(STATE, STATE_VALUES, strict=True)
    }
    made = GoldenBackend(policy=policy(text))
    ours = service(text)
    answer = act(ours, ours.read(shown(**degrees), Terms()), made)
    np.testing.assert_allclose(made.seen[0].state, STATE_VALUES)
    np.testing.assert_allclose(answer.actions, np.degrees(moves()), rtol=1e-5)


def test_the_newest_observation_of_each_client_waits():
    ours = service()
    for client in ("a", "b"):
        assert ours.admit(client, 0.0)
        assert not ours.waiting(client)
        assert ours.take(client) is None
    for timestep in (1, 2):
        assert ours.offer("a", ours.read(shown(timestep), Terms()))
    assert ours.waiting("a")
    assert not ours.waiting("b")
    assert ours.offer("b", ours.read(shown(9), Terms()))
    assert [taken.timestep for taken in (ours.take("a"), ours.take("b")) if taken] == [2, 9]
    assert ours.take("a") is None


def test_a_step_is_answered_once_unless_it_must_be():
    ours = service()
    ours.admit("a", 0.0)
    ours.offer("a", ours.read(shown(5), Terms()))
    ours.take("a")

    assert not ours.offer("a", ours.read(shown(5), Terms()))
    assert not ours.waiting("a")
    assert ours.offer("a", ours.read(shown(5, must_go=True), Terms()))
    ours.take("a")
    assert ours.offer("a", ours.read(shown(6), Terms()))


def test_beginning_again_forgets():
    ours = service()
    ours.admit("a", 0.0)
    ours.accept("a", Terms(STATE, 4))
    assert ours.terms("a") == Terms(STATE, 4)
    ours.offer("a", ours.read(shown(5), Terms()))
    ours.take("a")
    ours.offer("a", ours.read(shown(6), Terms()))
    ours.begin("a", 1.0)

    assert not ours.waiting("a")
    assert ours.terms("a") == Terms()
    assert ours.offer("a", ours.read(shown(5), Terms()))


def test_so_many_clients_have_room_and_who_is_silent_makes_some():
    ours = service()
    for index in range(MAX_CLIENTS):
        assert ours.admit(f"{index}", 0.0)
    assert not ours.admit("late", 1.0)
    assert ours.admit("0", 2.0)
    assert ours.forget(FORGOTTEN_AFTER_S - 0.1) == []
    assert not ours.admit("late", 3.0)
    # Who is being answered is not silent.
    silent = ours.forget(FORGOTTEN_AFTER_S, busy=("2",))
    assert sorted(silent, key=int) == ["1", *(f"{index}" for index in range(3, MAX_CLIENTS))]
    assert ours.admit("late", 3.0)
    assert ours.terms("0") == ours.terms("2") == Terms()
    assert ours.take("1") is None
    assert not ours.waiting("1")


def test_a_policy_that_is_none_of_lerobots_is_refused():
    with pytest.raises(ConfigError, match=r"policy\.yaml: LeRobot's clients need the section"):
        service(POLICY)
