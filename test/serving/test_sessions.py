# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.simulated import policy, so101, world
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.backends.scripted_pick_and_place import Backend, Config
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving.sessions import IDLE_AFTER_S, MAX_SESSIONS, Sessions
from vla_ros.sim.episode import Episode
from vla_ros.sim.timing import Timing


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def sessions(count: int = MAX_SESSIONS) -> tuple[Sessions, list[OwnBackend], Clock]:
    clock, first = Clock(), OwnBackend()
    made = Sessions(first, max_sessions=count, now_s=clock)
    assert made.connect() == PolicyInfo("golden")
    return made, first.family, clock


def test_what_costs_much_is_shared():
    shared = GoldenBackend()
    made = Sessions(shared)
    assert made.policy is shared.policy
    assert {made.backend(client) for client in (b"a", "b", None)} == {shared}


def test_each_client_has_a_backend_of_its_own_and_keeps_it():
    made, family, _ = sessions()
    a, b = made.backend(b"a"), made.backend(b"b")
    assert (a, b) == (family[1], family[2])
    assert [made.backend(b"a"), made.backend(b"b"), made.backend(b"a")] == [a, b, a]
    assert [one.connects for one in family] == [1, 1, 1]


def test_a_reset_reaches_the_clients_own_alone():
    made, family, _ = sessions()
    a, b = made.backend(b"a"), made.backend(b"b")
    a.reset()
    a.reset()
    b.reset()
    assert [one.resets for one in family] == [0, 2, 1]


def test_the_one_beyond_the_last_takes_the_place_of_who_is_idle_the_longest(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    made, family, clock = sessions()
    for client in range(MAX_SESSIONS):
        made.backend(client)
    clock.s = IDLE_AFTER_S - 1
    kept = made.backend(0)
    clock.s = IDLE_AFTER_S

    assert made.backend("the 65th") is family[MAX_SESSIONS + 1]

    assert [number for number, one in enumerate(family) if one.closes] == [2]  # that of client 1
    assert "forgets a client that asked nothing for 10 s" in caplog.text
    assert made.backend(0) is kept
    assert made.backend(1) is family[-1]  # anew, in the place of client 2
    assert family[3].closes == 1


def test_who_is_at_work_is_not_disturbed_by_one_too_many():
    made, family, clock = sessions(2)
    for client in "ab":
        made.backend(client)
    clock.s = IDLE_AFTER_S - 0.1

    with pytest.raises(BackendUnavailable, match="has 2 clients at work; one that asks nothing"):
        made.backend("c")

    assert [made.backend("a"), made.backend("b")] == family[1:]
    assert len(family) == 3


def test_a_client_whose_backend_cannot_be_connected_has_none_and_may_try_again():
    made, family, _ = sessions(1)
    family[0].fails = True
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="the model is not there"):
            made.backend("a")
    family[0].fails = False
    assert made.backend("a") is family[-1]


def test_a_server_that_cannot_connect_fails_at_once():
    first = OwnBackend()
    first.fails = True
    with pytest.raises(BackendUnavailable, match="the model is not there"):
        Sessions(first).connect()


def test_who_is_gone_is_forgotten():
    made, family, _ = sessions()
    made.backend("a")
    for _ in range(2):
        made.forget("a")
    made.forget("b")
    assert [one.closes for one in family] == [0, 1]
    assert made.backend("a") is family[2]
    shared = Sessions(GoldenBackend())
    shared.forget("a")


def test_closing_closes_all_of_them():
    made, family, _ = sessions()
    for client in "ab":
        made.backend(client)
    made.close()
    assert [one.closes for one in family] == [1, 1, 1]
    made.close()
    assert [one.closes for one in family] == [2, 1, 1]


class Noting(Backend):
    """The scripted policy, and what it was shown and said."""

    def __init__(self) -> None:
        super().__init__(Config(), robot=so101(), policy=policy())
        self.noted: list[tuple[Observation, ActionChunk]] = []
        self.connect()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.noted.append((observation, super().infer(observation, prefix)))
        return self.noted[-1][1]


def noted(seed: int, colour: str) -> list[tuple[Observation, ActionChunk]]:
    """What an undisturbed episode is shown and told."""
    made = Noting()
    timing = Timing(latency_s=0.1, max_duration_s=6.0)
    episode = Episode(world(), made, params=ExecutorParams(), timing=timing)
    episode.run(seed, f"put the {colour} cube on the plate")
    return made.noted


def same(backend: PolicyBackend, observation: Observation, chunk: ActionChunk) -> bool:
    return np.array_equal(backend.infer(observation).actions, chunk.actions)


def test_episodes_of_two_robots_do_not_disturb_each_other():
    episodes = {"a": noted(3, "red"), "b": noted(4, "blue")}
    turns = [
        (client, *turn)
        for both in zip(*episodes.values(), strict=False)
        for client, turn in zip(episodes, both, strict=True)
    ]
    assert len(turns) > 10
    made = Sessions(Backend(Config(), robot=so101(), policy=policy()))
    made.connect()

    assert all(same(made.backend(client), *turn) for client, *turn in turns)

    # One and the same policy for both would mix them up.
    shared = Noting()
    assert not all(same(shared, *turn) for _, *turn in turns)


def test_another_backend_knows_nobody():
    made, family, _ = sessions()
    made.backend(b"a")
    other = OwnBackend()
    made.replace(other)
    assert [one.closes for one in family] == [1, 1]
    assert made.shared is other
    assert made.backend(b"a") is other.family[1]
