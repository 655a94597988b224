# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from benchmarks.flow_policy.training import Schedule, train, untrained
from vla_ros.backends._flow_network import Network
from vla_ros.backends._guided_inpainting import Guidance, inpaint

H = 4
SHAPE = np.array([[0.2], [0.5], [0.8], [1.0]])
SCHEDULE = Schedule(hidden=(48, 48), steps=1200, batch=128, warm_up=50, rate=5e-3)


def taught() -> Network:
    """A network that learned to go to either side, the further the larger the only feature is."""
    rng = np.random.default_rng(1)
    seen = rng.uniform(1.0, 2.0, (2000, 1)).astype(np.float32)
    side = rng.choice([-1.0, 1.0], 2000)
    chunks = (side[:, None, None] * seen[:, :, None] * SHAPE).astype(np.float32)
    network = untrained(("a",), seen, chunks, SCHEDULE.hidden, rng)
    return train(network, seen, chunks, SCHEDULE, rng)


def test_it_learns_both_of_two_right_answers_and_nothing_between():
    network = taught()
    rng = np.random.default_rng(2)
    flow = network.flow(np.array([1.5]))

    chunks = np.array(
        [
            network.actions(inpaint(flow.velocity, rng.standard_normal((H, 1)), 10))
            for _ in range(60)
        ]
    )

    ends = chunks[:, -1, 0]
    right = np.abs(chunks - np.sign(ends)[:, None, None] * 1.5 * SHAPE).max(axis=(1, 2)) < 0.2
    assert right.sum() > 50
    assert 15 < (ends > 0.0).sum() < 45


def test_a_prefix_decides_which_of_the_two():
    network = taught()
    rng = np.random.default_rng(3)
    flow = network.flow(np.array([1.5]))
    weights = np.array([[1.0], [0.0], [0.0], [0.0]])

    for side in (-1.0, 1.0):
        guidance = Guidance(network.normalised(side * 1.5 * SHAPE), weights, 10.0)
        for _ in range(20):
            noise = rng.standard_normal((H, 1))
            chunk = network.actions(inpaint(flow.velocity, noise, 10, guidance, flow.vjp))
            np.testing.assert_allclose(chunk, side * 1.5 * SHAPE, atol=0.25)


def test_the_same_seed_gives_the_same_weights():
    one, other = taught(), taught()

    for mine, others in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine, others)
