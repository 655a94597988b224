# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from benchmarks.execution.peers import Broker, Ensemble, FromTheStart, LeRobotClient, StepPlayer
from benchmarks.execution.toy_world import JOINTS, policy, robot
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_status import Measured, Move
from vla_ros.core.observation import ObservationRequest

STEP_NS = policy().step_ns
HOME = np.zeros(JOINTS)


class Bench:
    """A player, ticked at each step of the policy, and a robot that follows or stands still."""

    def __init__(self, player: StepPlayer, *, follows: bool = True) -> None:
        self.player = player
        self.follows = follows
        self.pose = HOME
        self.now = 10**9
        self.requests: list[ObservationRequest] = []
        self.played: list[float] = []

    def steps(self, count: int) -> None:
        for _ in range(count):
            command = self.player.update(self.now, Measured(self.pose, 0.0))
            request = self.player.poll_request(self.now)
            if request is not None:
                self.requests.append(request)
            assert command.positions is not None
            self.pose = command.positions if self.follows else HOME
            self.played.append(float(command.positions[0]) if isinstance(command, Move) else -1.0)
            self.now += STEP_NS

    def offer(self, first: float, request: int = -1, count: int = 50) -> None:
        """A chunk that counts up from a number."""
        actions = np.tile(first + np.arange(count)[:, None], (1, JOINTS))
        asked = self.requests[request]
        chunk = ActionChunk(
            asked.stamp_ns, STEP_NS, policy().action_names, actions, asked.request_id
        )
        self.player.offer(chunk, self.now)


def lerobot(old_share: float = 0.3, *, follows: bool = True) -> Bench:
    return Bench(LeRobotClient(robot(), policy(), old_share=old_share), follows=follows)


def test_lerobots_client_throws_the_first_action_away_in_steady_state() -> None:
    bench = lerobot(old_share=0.0)
    bench.steps(1)
    bench.offer(0.0)
    # It is asked anew when 25 of 50 are left: then 24 is the last that was executed.
    bench.steps(25)
    assert len(bench.requests) == 2
    bench.offer(100.0)
    bench.steps(2)
    # No time has passed, and yet 100 has the number of the one executed last, and is not played.
    assert bench.played[-1] == pytest.approx(101.0)


@pytest.mark.parametrize("old_share", [0.3, 0.0, 0.5, 0.7])
def test_lerobots_aggregates(old_share: float) -> None:
    bench = lerobot(old_share)
    bench.steps(1)
    bench.offer(0.0)
    bench.steps(26)
    bench.offer(100.0)
    bench.steps(2)
    # Action 26 was queued as 26, and is the new chunk's third, because it was asked for at 24.
    assert bench.played[-1] == pytest.approx(old_share * 26.0 + (1.0 - old_share) * 102.0)


def test_lerobots_queue_is_replaced_so_that_older_actions_beyond_it_vanish() -> None:
    bench = lerobot()
    bench.steps(1)
    bench.offer(0.0)
    bench.steps(26)
    bench.offer(100.0, count=5)
    bench.steps(12)
    assert bench.played[-1] == -1.0  # nothing is left, though the first chunk had 50 actions


def test_lerobots_server_drops_observations_that_differ_by_less_than_a_degree() -> None:
    bench = lerobot(follows=False)
    bench.steps(1)
    bench.offer(0.0)
    bench.steps(60)
    # It is asked for only when the queue has run out.
    assert len(bench.requests) == 2
    assert bench.requests[1].stamp_ns - 10**9 >= 50 * STEP_NS


def test_the_broker_plays_so_many_then_waits() -> None:
    bench = Bench(Broker(robot(), policy(), play=3))
    bench.steps(2)
    assert len(bench.requests) == 1
    bench.offer(0.0)
    bench.steps(6)
    assert len(bench.requests) == 2
    assert bench.played[-1] == -1.0


def test_acts_weights_count_from_the_oldest_prediction() -> None:
    bench = Bench(Ensemble(robot(), policy()))
    bench.steps(1)
    for first in (0.0, 10.0, 20.0):
        bench.offer(first)
        bench.steps(2)
    weights = np.exp(-0.01 * np.arange(3))
    # Step 2 was predicted as 2 by the first chunk, as 11 by the second and as 20 by the third.
    expected = weights @ np.array([2.0, 11.0, 20.0]) / weights.sum()
    assert bench.played[-1] == pytest.approx(expected)


def test_without_alignment_a_new_chunk_is_played_from_its_first_action() -> None:
    bench = Bench(FromTheStart(robot(), policy(), ask_at=45))
    bench.steps(1)
    bench.offer(0.0)
    bench.steps(8)
    assert len(bench.requests) == 2
    bench.offer(100.0)
    bench.steps(2)
    assert bench.played[-1] == pytest.approx(100.0)
