# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking for flow-matching policies: sample a chunk that continues a given prefix.

While a policy thinks, its robot goes on with the chunk before; what it will have executed by then
is the *prefix* of the new chunk. Guided inpainting pulls each denoising step towards it, firmly
where it is certain to be executed, ever more loosely after that, so that a policy which could do
either of two things keeps to the one that it began. No training is needed for it.

Method and constants: Black, Galliker, Levine, "Real-Time Execution of Action Chunking Flow
Policies", arXiv 2506.07339 (algorithm 1, equations 2 to 5).

Time runs as in the paper, from noise at t = 0 to the chunk at t = 1: ``x_t = t * chunk + (1 - t) *
noise`` and ``dx/dt = v``. A policy whose time runs the other way (pi0 and SmolVLA as LeRobot has
them) is told ``1 - t``, and its velocity is negated.

Nothing but operators touches the arrays, so that torch tensors work as well as numpy's; only
``prefix_weights`` makes a new one, of numpy. Chunks are in the policy's own normalised space, of
any shape; the weights must broadcast to it. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Schedule = Literal["zeros", "ones", "linear", "exp"]
# A numpy array, a torch tensor, or whatever else has operators.
Array = Any
Velocity = Callable[[Array, float], Array]
# (x, t, cotangent) -> cotangent times the Jacobian of x1(x) = x + (1 - t) * velocity(x, t).
Vjp = Callable[[Array, float, Array], Array]


def prefix_weights(
    delay: int, end: int, horizon: int, schedule: Schedule = "exp"
) -> NDArray[np.float64]:
    """(H,) How firmly each action is held to the prefix: 1 before ``delay``, 0 from ``end`` on.

    >>> prefix_weights(2, 5, 6, "linear").tolist()
    [1.0, 1.0, 0.75, 0.5, 0.25, 0.0]

    Args:
        delay: How many actions will be executed before the new chunk takes over.
        end: From here on, the new chunk is free; the paper's H - s. No less than ``delay`` counts.
        horizon: H.
        schedule: What is between: 0, 1, a straight line, or the paper's curve, which falls faster.

    Raises:
        ValueError: A count is negative, or the schedule is not known.
    """
    if min(delay, end, horizon) < 0:
        raise ValueError(f"delay {delay}, end {end} and horizon {horizon} must not be negative")
    index = np.arange(horizon)
    line = np.clip((end - index) / (max(end - delay, 0) + 1), 0.0, 1.0)
    curves = {
        "zeros": np.zeros(horizon),
        "ones": np.ones(horizon),
        "linear": line,
        "exp": line * np.expm1(line) / np.expm1(1.0),
    }
    if schedule not in curves:
        raise ValueError(f"schedule must be one of {', '.join(curves)}; found {schedule!r}")
    return np.where(index < delay, 1.0, np.where(index < end, curves[schedule], 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """What a new chunk shall continue.

    Attributes:
        target: The prefix, in the shape of a chunk; anything finite where the weights are zero.
        weights: From 0 (free) to 1 (certain).
        max_weight: The strongest pull; the paper's beta. One Euler step of size 1 / steps undoes
            the whole error at a pull of ``steps``; a stronger one overshoots.
        clamp: For policies that were *trained* with a clean prefix (arXiv 2512.05964): 1 where the
            chunk is set to the target before every step, else 0. The policy must itself know how
            long the clean part is. None for all others.
    """

    target: Array
    weights: Array
    max_weight: float = 5.0
    clamp: Array = None


def guidance_weight(time: float, max_weight: float) -> float:
    """How hard a step at time t in [0, 1) pulls: ``min(beta, (1 - t) / (t * r**2))``.

    With ``r**2 = (1 - t)**2 / (t**2 + (1 - t)**2)``, the paper's equation 4 and algorithm 1.
    """
    if time <= 0.0:
        return max_weight
    return min(max_weight, (time**2 + (1.0 - time) ** 2) / (time * (1.0 - time)))


def guided_velocity(
    x: Array, velocity: Array, time: float, guidance: Guidance, vjp: Vjp | None = None
) -> Array:
    """The velocity, corrected towards the prefix.

    Args:
        x: The chunk as it is at that time.
        velocity: The policy's velocity there.
        time: t in [0, 1).
        guidance: The prefix.
        vjp: The true vector-Jacobian product, as the paper has it. None takes the identity for the
            Jacobian, as LeRobot does: it costs no backward pass through the policy.
    """
    chunk = x + (1.0 - time) * velocity
    error = (guidance.target - chunk) * guidance.weights
    correction = error if vjp is None else vjp(x, time, error)
    return velocity + guidance_weight(time, guidance.max_weight) * correction


def inpaint(
    velocity: Velocity,
    noise: Array,
    steps: int,
    guidance: Guidance | None = None,
    vjp: Vjp | None = None,
) -> Array:
    """Integrate a flow from noise to a chunk, in Euler steps.

    Args:
        velocity: The policy's velocity at (x, t).
        noise: What to begin with; not changed.
        steps: How many steps.
        guidance: What the chunk shall continue; None for whatever the noise leads to.
        vjp: See ``guided_velocity``.

    Raises:
        ValueError: There is no step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, found {steps}")
    x = _clamped(noise, guidance)
    for step in range(steps):
        time = step / steps
        slope = velocity(x, time)
        if guidance is not None:
            slope = guided_velocity(x, slope, time, guidance, vjp)
        x = _clamped(x + slope / steps, guidance)
    return x


def _clamped(x: Array, guidance: Guidance | None) -> Array:
    if guidance is None or guidance.clamp is None:
        return x
    return x + guidance.clamp * (guidance.target - x)
