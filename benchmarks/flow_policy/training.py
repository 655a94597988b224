# SPDX-License-Identifier: Apache-2.0
"""Flow matching in numpy: Adam on a multi-layer perceptron. Deterministic for a seed."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vla_ros.backends._flow_network import Floats, Network, silu, time_waves

_LOG = logging.getLogger("training")
# Below this, what varies so little is not blown up.
_LEAST_FEATURE, _LEAST_ACTION = 0.02, 0.01
# Late times decide how clean a chunk is: errors count as of the velocity, up to about this.
_NEAR_END = 0.1
_BETAS, _EPSILON = (0.9, 0.99), 1e-8
_AVERAGED = 0.999


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        hidden: Outputs of each hidden layer.
        steps: How many.
        batch: Samples in each.
        rate: The learning rate at its highest.
        warm_up: Steps until it is there; from then on it falls as a cosine.
        weight_decay: Towards zero in each step, times the rate.
    """

    hidden: tuple[int, ...] = (512, 512, 512)
    steps: int = 20_000
    batch: int = 512
    rate: float = 1e-3
    warm_up: int = 500
    weight_decay: float = 1e-2


def untrained(
    interfaces: tuple[str, ...],
    seen: Floats,
    chunks: Floats,
    hidden: tuple[int, ...],
    rng: np.random.Generator,
) -> Network:
    """A network that knows nothing but how large things are.

    Args:
        interfaces: (D,) The columns of a chunk.
        seen: (N, F) Features.
        chunks: (N, H, D) Right answers.
        hidden: Outputs of each hidden layer.
        rng: Draws the weights.
    """
    outputs = chunks[0].size
    inputs = outputs + seen.shape[1] + time_waves(np.zeros(1)).shape[1]
    sizes = [inputs, *hidden, outputs]
    return Network(
        interfaces,
        feature_mean=seen.mean(axis=0),
        feature_scale=np.maximum(seen.std(axis=0), _LEAST_FEATURE),
        chunk_mean=chunks.mean(axis=0),
        chunk_scale=np.maximum(chunks.std(axis=0), _LEAST_ACTION),
        weights=tuple(
            (rng.standard_normal((n, m)) / math.sqrt(n)).astype(np.float32)
            for n, m in pairwise(sizes)
        ),
        biases=tuple(np.zeros(m, np.float32) for m in sizes[1:]),
    )


def train(
    network: Network, seen: Floats, chunks: Floats, schedule: Schedule, rng: np.random.Generator
) -> Network:
    """Teach a network, in place; returned is the running average of its weights.

    Args:
        network: Untrained, or to be taught further.
        seen: (N, F) Features.
        chunks: (N, H, D) Right answers.
        schedule: How.
        rng: Draws samples, noise and times.
    """
    features = network.features(seen).astype(np.float32)
    answers = network.normalised(chunks).astype(np.float32).reshape(len(chunks), -1)
    parameters = [*network.weights, *network.biases]
    average = [parameter.copy() for parameter in parameters]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    begun_s, told = time.monotonic(), 0.0
    for step in range(1, schedule.steps + 1):
        rows = rng.integers(len(answers), size=schedule.batch)
        loss, gradients = _gradients(network, features[rows], answers[rows], rng)
        rate = _rate(schedule, step)
        for parameter, gradient, (first, second) in zip(
            parameters, gradients, moments, strict=True
        ):
            _adam(parameter, gradient, first, second, step, rate)
            if parameter.ndim == 2:
                np.multiply(parameter, 1.0 - rate * schedule.weight_decay, out=parameter)
        kept = min(_AVERAGED, step / (step + 10.0))
        for mean, parameter in zip(average, parameters, strict=True):
            np.add(kept * mean, (1.0 - kept) * parameter, out=mean)
        told += loss
        if step % 1000 == 0:
            spent_s = time.monotonic() - begun_s
            _LOG.info("step %d of %d: loss %.4f, %.0f s", step, schedule.steps, told / 1e3, spent_s)
            told = 0.0
    layers = len(network.weights)
    return Network(
        network.interfaces,
        network.feature_mean,
        network.feature_scale,
        network.chunk_mean,
        network.chunk_scale,
        tuple(average[:layers]),
        tuple(average[layers:]),
    )


def _rate(schedule: Schedule, step: int) -> float:
    if step < schedule.warm_up:
        return schedule.rate * step / schedule.warm_up
    gone = (step - schedule.warm_up) / max(schedule.steps - schedule.warm_up, 1)
    return schedule.rate * 0.5 * (1.0 + math.cos(math.pi * gone))


def _gradients(
    network: Network, features: Floats, answers: Floats, rng: np.random.Generator
) -> tuple[float, list[Floats]]:
    """The loss on a batch, and its gradients by all weights, then all biases."""
    count = len(answers)
    times = rng.random(count, dtype=np.float32)
    late = times[:, None]
    noise = rng.standard_normal(answers.shape, dtype=np.float32)
    value = np.concatenate(
        [late * answers + (1.0 - late) * noise, features, time_waves(times)], axis=1
    )
    values, slopes = [value], []
    for weights, biases in zip(network.weights[:-1], network.biases[:-1], strict=True):
        value, slope = silu(value @ weights + biases)
        values.append(value)
        slopes.append(slope)
    error = value @ network.weights[-1] + network.biases[-1] - answers
    weighted = error / ((1.0 - late) ** 2 + np.float32(_NEAR_END))
    loss = float((weighted * error).mean())
    back = weighted * np.float32(2.0 / count)
    by_weights, by_biases = [], []
    for index in range(len(network.weights) - 1, -1, -1):
        by_weights.append(values[index].T @ back)
        by_biases.append(back.sum(axis=0))
        if index:
            back = (back @ network.weights[index].T) * slopes[index - 1]
    return loss, [*by_weights[::-1], *by_biases[::-1]]


def _adam(
    parameter: Floats, gradient: Floats, first: Floats, second: Floats, step: int, rate: float
) -> None:
    fast, slow = _BETAS
    first *= np.float32(fast)
    first += np.float32(1.0 - fast) * gradient
    second *= np.float32(slow)
    second += np.float32(1.0 - slow) * gradient * gradient
    scale = np.float32(rate / (1.0 - fast**step))
    root = np.sqrt(second / np.float32(1.0 - slow**step)) + np.float32(_EPSILON)
    parameter -= scale * first / root
