# SPDX-License-Identifier: Apache-2.0
"""What a policy of LeRobot is told for real-time chunking. Pure; any thread may call."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._guided_inpainting import Schedule
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.observation import Prefix
from vla_ros.core.policy_io import action_columns
from vla_ros.core.policy_spec import PolicySpec


@dataclass(frozen=True, slots=True)
class GuidanceParams:
    """How chunks are guided.

    Attributes:
        schedule: How firmly actions are held between a guidance's delay and its end.
        max_weight: How hard a denoising step is pulled at most.
    """

    schedule: Schedule
    max_weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Guidance:
    """What a chunk shall go on from.

    Attributes:
        actions: (P, A) float32 in the policy's units, the first due at the observation's stamp.
        delay: How many of them will be executed before the new chunk takes over.
        end: From here on, the new chunk is free. LeRobot's "execution horizon"; the paper's is the
            number of actions executed of each chunk.
    """

    actions: NDArray[np.float32]
    delay: int
    end: int


def guidance_from(policy: PolicySpec, prefix: Prefix) -> Guidance:
    """A prefix as a policy of LeRobot takes it.

    Raises:
        ActionError: It lacks an interface that the policy commands, or is not finite.
    """
    committed = ActionChunk(0, policy.step_ns, prefix.names, prefix.actions).first(policy.horizon)
    actions = action_columns(policy, committed).astype(np.float32)
    due = math.ceil(prefix.inference_delay_s * policy.rate_hz - 1e-6)
    delay = min(due, committed.horizon)
    # The weights fall all the way to where the prefix ends: a pull that stops short is a kink.
    end = max(min(policy.horizon - prefix.execution_horizon, committed.horizon), delay)
    return Guidance(actions, delay, end)
