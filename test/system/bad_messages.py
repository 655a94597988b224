# SPDX-License-Identifier: Apache-2.0
"""What a node that has gone mad would say on the ring's topics. Pairs of message and topic."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, JointState
from vla_ros_msgs.msg import (
    ActionChunk,
    CameraImage,
    Observation,
    ObservationRequest,
    RequestFailure,
)

from test.system.fault_watch import now_ns
from test.system.faulty_ring import FaultyRing
from vla_ros.core import hold_reasons
from vla_ros.ros.stamps import duration_from_ns, time_from_ns

Said = Iterator[tuple[Any, str]]

_CHUNK = "action_chunk"


def _chunk(ring: FaultyRing, value: float = 0.0) -> ActionChunk:
    """A good chunk of now, that all joints go to one value; whether anybody asked for it or not."""
    names, policy = list(ring.policy.action_names), ring.policy
    state = ring.watch.state
    message = ActionChunk(
        request_id=ring.random.choice([0, state.last_request_id, state.last_request_id + 1]),
        epoch=state.epoch,
        policy=policy.name,
        step=duration_from_ns(policy.step_ns),
        names=names,
        horizon=policy.horizon,
        actions=[value] * (policy.horizon * len(names)),
    )
    message.header.stamp = time_from_ns(now_ns())
    return message


def malformed_chunks(ring: FaultyRing) -> Said:
    """Chunks that contradict themselves or cannot be executed."""
    for value in (math.nan, math.inf, -math.inf):
        chunk = _chunk(ring)
        chunk.actions[ring.random.randrange(len(chunk.actions))] = value
        yield chunk, _CHUNK
    for spoil in (
        {"names": []},
        {"names": ["nothing/position"] * len(ring.policy.action_names)},
        {"names": [f"{name}x" for name in ring.policy.action_names]},
        {"names": list(ring.policy.action_names)[:-1]},
        {"horizon": 0},
        {"horizon": 2**32 - 1},
        {"actions": []},
        {"actions": [0.0]},
        {"step": duration_from_ns(0)},
        {"step": duration_from_ns(-1)},
    ):
        chunk = _chunk(ring)
        for name, value in spoil.items():
            setattr(chunk, name, value)
        yield chunk, _CHUNK


def misplaced_chunks(ring: FaultyRing) -> Said:
    """Good chunks at the wrong time."""
    for epoch in (-1, 1):
        chunk = _chunk(ring)
        chunk.epoch = max(chunk.epoch + epoch, 0)
        yield chunk, _CHUNK
    for shift_s in (-1000.0, -10.0, -2.0, 0.5, 3.0, 1000.0):
        chunk = _chunk(ring)
        chunk.header.stamp = time_from_ns(now_ns() + round(shift_s * 1e9))
        yield chunk, _CHUNK
    same = _chunk(ring, _drawn(ring.random, 1.0))
    yield same, _CHUNK
    yield same, _CHUNK
    for shift_ns in (-1, -100_000_000, 0):
        chunk = _chunk(ring)
        chunk.header.stamp = time_from_ns(now_ns() + shift_ns)
        yield chunk, _CHUNK


def far_chunks(ring: FaultyRing) -> Said:
    """Well-formed chunks of the present epoch that lead far beyond every limit."""
    for size in (10.0, 1e3, 1e6, 1e12):
        chunk = _chunk(ring)
        drawn = [_drawn(ring.random, size) for _ in chunk.actions]
        shaken = np.where(np.arange(len(drawn)) // len(chunk.names) % 2, size, -size).tolist()
        chunk.actions = ring.random.choice([drawn, shaken, [drawn[0]] * len(drawn)])
        yield chunk, _CHUNK


def absurd_chunks(ring: FaultyRing) -> Said:
    """Well-formed chunks of the present epoch that no policy can have made."""
    for size in (1e300, 1.7e308):
        chunk = _chunk(ring)
        sign = np.where(np.arange(len(chunk.actions)) // len(chunk.names) % 2, 1.0, -1.0)
        chunk.actions = (size * (sign if ring.random.random() < 0.5 else abs(sign))).tolist()
        yield chunk, _CHUNK
    for step_ns in (1, 10**15):
        chunk = _chunk(ring, _drawn(ring.random, 1.0))
        chunk.step = duration_from_ns(step_ns)
        yield chunk, _CHUNK
    chunk = _chunk(ring)
    chunk.horizon = 10_000
    chunk.actions = np.sin(np.arange(chunk.horizon * len(chunk.names)) * 0.1).tolist()
    yield chunk, _CHUNK


def requests(ring: FaultyRing) -> Said:
    """Requests that the executor did not make."""
    for fields in (
        {},
        {"request_id": 2**63, "epoch": 2**31},
        {"committed_length": 3},
        {"committed_length": 1, "names": ["nothing/position"], "committed": [math.nan]},
        {"names": ["a", "b"], "committed": [1.0, 2.0, 3.0]},
        {"inference_delay_s": math.nan, "execution_horizon": 2**32 - 1},
    ):
        epoch = {"epoch": ring.watch.state.epoch}
        yield ObservationRequest(**{**epoch, **fields}), "observation_request"


def observations(ring: FaultyRing) -> Said:
    """Observations that the aggregator did not make."""
    names = list(ring.robot.state_names)
    image = CameraImage(camera=next(iter(ring.robot.cameras)), encoding="rgb8", data=[1, 2, 3])
    for fields in (
        {},
        {"state_names": names, "state": [math.nan] * len(names)},
        {"state_names": names, "state": [0.0]},
        {"state_names": names, "state": [0.0] * len(names), "images": [image]},
        {"state_names": names, "state": [0.0] * len(names)},
        {"images": [CameraImage(camera="nothing")]},
    ):
        message = Observation(instruction=ring.instruction, **fields)
        message.header.stamp = time_from_ns(now_ns())
        message.request.epoch = ring.watch.state.epoch
        message.request.request_id = ring.watch.state.last_request_id
        yield message, "observation"


def failures(ring: FaultyRing) -> Said:
    """Failures of requests that have not failed."""
    for reason in (hold_reasons.POLICY_ERROR, hold_reasons.STALE_CAMERA, "", "nothing"):
        state = ring.watch.state
        message = RequestFailure(
            request_id=ring.random.choice([0, state.last_request_id, state.last_request_id + 1]),
            epoch=max(state.epoch + ring.random.choice([-1, 0, 0, 0, 1]), 0),
            reason=reason,
            detail="x" * ring.random.choice([0, 10, 100_000]),
        )
        yield message, "request_failure"


def sensor_data(ring: FaultyRing) -> Said:
    """Joint states and images that no sensor would send."""
    (stream,) = ring.robot.state_streams.values()
    joints = [interface.rpartition("/")[0] for interface in stream.interfaces]
    zeros = [0.0] * len(joints)
    for names, positions in (
        ([], []),
        (joints, [math.nan] * len(joints)),
        (joints, zeros[:-1]),
        (joints[:-1], zeros[:-1]),
        (joints[:1] * len(joints), zeros),
    ):
        message = JointState(name=names, position=positions)
        message.header.stamp = time_from_ns(now_ns())
        yield message, stream.topic
    for camera in ring.robot.cameras.values():
        for height, data in ((0, []), (camera.height, [0] * 10)):
            image = Image(height=height, width=camera.width, encoding="nothing", data=data)
            image.header.stamp = time_from_ns(now_ns())
            yield image, camera.topic


def _drawn(draw: random.Random, size: float) -> float:
    return size * draw.choice([-1.0, 1.0])
