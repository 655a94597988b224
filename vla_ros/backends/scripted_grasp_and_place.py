# SPDX-License-Identifier: Apache-2.0
"""The scripted policy of a humanoid: one hand grasps something tall and puts it on a target.

The same eyes and manners as ``scripted_pick_and_place``; what differs is in the task's file: the
hand comes from the side, has many fingers, and the other arm is kept still. One thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_ros.backends import scripted_pick_and_place
from vla_ros.core.params import param


@dataclass(frozen=True, slots=True)
class Config:
    """Parameters of the scripted policy."""

    task: str = param(
        "g1_pick_and_place",
        "What it knows of its task: a name in config/tasks, or a .yaml file's path.",
        read_only=True,
    )


class Backend(scripted_pick_and_place.Backend):
    """Looks, plans, and returns a chunk; all in this process."""

    Config: ClassVar[type] = Config
