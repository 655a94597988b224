# SPDX-License-Identifier: Apache-2.0
"""What LeRobot has to be told of a checkpoint. Immutable; any thread."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.core.section import Section


@dataclass(frozen=True, slots=True)
class LeRobotSpec:
    """The section ``lerobot`` of a policy's description.

    LeRobot's cameras are the policy's video keys.

    Attributes:
        type: LeRobot's name of the policy's kind, such as ``act``.
        checkpoint: The checkpoint as the process that loads it finds it: a folder, or a name on the
            hub.
        device: Torch's name of the device that it runs on there.
        state: LeRobot's names of the values of the state, in the order of the policy's
            ``state_names``.
        action: LeRobot's names of the values of an action, in the order of ``action_names``.
    """

    type: str
    checkpoint: str
    device: str
    state: tuple[str, ...]
    action: tuple[str, ...]


def read_lerobot(section: Section) -> LeRobotSpec:
    """Read the section.

    Raises:
        ConfigError: A fact is missing or not allowed.
    """
    return LeRobotSpec(
        type=section.text("type"),
        checkpoint=section.text("checkpoint"),
        device=section.text("device"),
        state=section.texts("state"),
        action=section.texts("action"),
    )
