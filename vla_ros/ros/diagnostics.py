# SPDX-License-Identifier: Apache-2.0
"""A node's word on /diagnostics: once a second, and at once when a level or message changes.

One thread: the one that spins the node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT

TOPIC = "/diagnostics"
_LOOK_S = 0.1
_LOOKS_PER_REPORT = 10


class Level(Enum):
    """How well a part does."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True, slots=True)
class Status:
    """What a node says of one of its parts.

    Attributes:
        name: The part.
        level: How well it does.
        message: The same in words.
        values: Figures.
    """

    name: str
    level: Level
    message: str
    values: Mapping[str, str] = field(default_factory=dict)


class Diagnostics:
    """Asks a node for its statuses and publishes them."""

    def __init__(
        self,
        node: LifecycleBase,
        undo: contextlib.ExitStack,
        statuses: Callable[[], Iterable[Status]],
    ) -> None:
        """Begin to report.

        Args:
            node: Whose report it is.
            undo: Takes how the reporting is undone.
            statuses: The node's parts, now; asked ten times a second.
        """
        self._node = node
        self._statuses = statuses
        self._publisher = node.publisher(undo, DiagnosticArray, TOPIC, EVENT)
        self._said: list[tuple[Level, str]] = []
        self._looks = 0
        node.every(undo, _LOOK_S, self._look)

    def _look(self) -> None:
        statuses = tuple(self._statuses())
        say = [(status.level, status.message) for status in statuses]
        self._looks += 1
        if say == self._said and self._looks < _LOOKS_PER_REPORT:
            return
        self._said, self._looks = say, 0
        self._publisher.publish(self._message(statuses))

    def _message(self, statuses: Iterable[Status]) -> DiagnosticArray:
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [
            DiagnosticStatus(
                level=status.level.value,
                name=f"{self._node.get_fully_qualified_name()}: {status.name}",
                message=status.message,
                hardware_id="",
                values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
            )
            for status in statuses
        ]
        return message
