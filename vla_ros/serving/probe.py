# SPDX-License-Identifier: Apache-2.0
"""Asks a policy as a robot would, with observations that are made up.

Nobody's robot moves, but the policy works: a server that others use meanwhile answers them later.
The policy is not reset. One thread, which blocks as the backend does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import nan

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import VlaRosError
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.past_frames import camera_of, frame_names
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec

INSTRUCTION = "Do nothing, this is a test."
_GREY = 128


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One chunk, and when the backend was busy with it, in nanoseconds of the backend's clock.

    Attributes:
        chunk: What the policy answered.
        asked_ns: When the backend was given the observation.
        given_ns: When it gave the chunk.
    """

    chunk: ActionChunk
    asked_ns: int
    given_ns: int


@dataclass(slots=True, eq=False)
class Findings:
    """What a probe found.

    Attributes:
        info: What the policy said of itself; None: it could not be connected to.
        connect_s: How long that took.
        answers: The chunks, all of them well-formed.
        error: What ended the probe early.
    """

    info: PolicyInfo | None = None
    connect_s: float = nan
    answers: list[Answer] = field(default_factory=list)
    error: VlaRosError | None = None


def probe(backend: PolicyBackend, observations: Iterable[Observation]) -> Findings:
    """Connect, and ask for a chunk for each observation, until one cannot be had.

    Args:
        backend: How the policy is reached. It is left connected.
        observations: What to show, one after another; each is made when its turn has come.
    """
    found = Findings()
    started_s = time.monotonic()
    try:
        found.info = backend.connect()
        found.connect_s = time.monotonic() - started_s
        for observation in observations:
            asked_ns = backend.now_ns()
            chunk = backend.infer(observation)
            found.answers.append(Answer(chunk, asked_ns, backend.now_ns()))
    except VlaRosError as error:
        found.error = error
    return found


def made_up(backend: PolicyBackend, count: int) -> Iterator[Observation]:
    """Observations of a robot that stands still, every joint in the middle of its limits.

    The images are noise and plain grey in turn: the one cannot be compressed, the other not seen
    anything in. They are the same in every run.

    Args:
        backend: Whose robot, policy and clock.
        count: How many.
    """
    robot, policy = backend.robot, backend.policy
    state = resting(robot, policy)
    chance = np.random.default_rng(0)
    for index in range(count):
        now_ns = backend.now_ns()
        images = {
            name: _image(robot, camera_of(name), chance if index % 2 == 0 else None)
            for camera in policy.video.values()
            for name in frame_names(camera, policy.video_deltas)
        }
        yield Observation(
            stamp_ns=now_ns,
            instruction=INSTRUCTION,
            images=images,
            state_names=policy.state_names,
            state=state,
            request=ObservationRequest(
                request_id=index + 1, epoch=0, stamp_ns=now_ns, must_go=True
            ),
        )


def resting(robot: RobotSpec, policy: PolicySpec) -> NDArray[np.float64]:
    """(D,) The policy's state of such a robot; zero of what has no limits, as velocities have none.

    Returns:
        In ``policy.state_names`` order [rad, m].
    """
    limits = [robot.limits.get(name) for name in policy.state_names]
    return np.array([(each.lower + each.upper) / 2 if each else 0.0 for each in limits])


def _image(robot: RobotSpec, camera: str, chance: np.random.Generator | None) -> NDArray[np.uint8]:
    """(H, W, 3) Of a camera's size: noise, or grey without chance."""
    spec = robot.cameras[camera]
    shape = (spec.height, spec.width, 3)
    if chance is None:
        return np.full(shape, _GREY, np.uint8)
    return chance.integers(0, 256, shape, np.uint8)
