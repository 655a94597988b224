# SPDX-License-Identifier: Apache-2.0
"""What unitree_sim_isaaclab says of its task: its reward, and its name. Pure; any thread."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite

from vla_ros.core.errors import DeviceError

# What its tasks pay for success; less is paid for a part of it, and less than 0 for what was lost.
_DONE = 1.0


@dataclass(frozen=True, slots=True)
class Reward:
    """How the task stands.

    Attributes:
        value: What is paid now.
    """

    value: float

    @property
    def success(self) -> bool:
        """Whether the task is done."""
        return self.value >= _DONE

    @property
    def failed(self) -> bool:
        """Whether what is to be moved is out of reach."""
        return self.value < 0.0


def read_reward(text: str) -> Reward:
    """The first environment's reward.

    Args:
        text: JSON such as ``{"rewards": [1.0], "timestamp": 1700000000.0}``.

    Raises:
        DeviceError: It is something else.
    """
    try:
        value = float(json.loads(text)["rewards"][0])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DeviceError(
            'the reward must be JSON such as {"rewards": [1.0], "timestamp": 0.0}; found'
            f" {text[:80]!r}"
        ) from error
    if not isfinite(value):
        raise DeviceError(f"the reward must be finite, found {value}")
    return Reward(value)


def read_task_name(text: str) -> str:
    """The name of the task that a simulator plays; empty where it tells none.

    Args:
        text: JSON of ``rt/sim_state``.
    """
    try:
        told = json.loads(text)
    except ValueError:
        return ""
    name = told.get("task_name") if isinstance(told, dict) else None
    return name if isinstance(name, str) else ""
