# SPDX-License-Identifier: Apache-2.0
"""An independent witness of a run: every command, every word of the executor, where the robot was.

It is spun by the thread that owns the domain. Moments are nanoseconds of the system's clock.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from vla_ros_msgs.msg import ExecutorState, TaskState

from test.ros.harness import Domain
from test.system.command_check import Pause
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.ros.images import message_type
from vla_ros.ros.joint_states import JointStateReader
from vla_ros.ros.stamps import ns_from_time

_LONG = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5000, reliability=ReliabilityPolicy.RELIABLE
)
_LONG_SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5000, reliability=ReliabilityPolicy.BEST_EFFORT
)
# What is counted up in each state, and begins anew with each executor.
_COUNTED = (
    "ticks",
    "missed_ticks",
    "starved_ticks",
    "observations_requested",
    "requests_repeated",
    "requests_failed",
    "chunks_received",
    "chunks_dropped",
)


class FaultWatch:
    """Remembers.

    Attributes:
        state: The executor's last words.
        task: How the task stands.
        pauses: When the executor was stopped, inactive or dead, so far.
        counts: What the executor counted, over all its lives.
    """

    def __init__(self, domain: Domain, robot: RobotSpec) -> None:
        """Subscribe.

        Args:
            domain: Whose peer listens.
            robot: Has one command group, of arrays of positions, and one state stream.
        """
        (group,) = robot.command_groups.values()
        ((name, stream),) = robot.state_streams.items()
        self._reader = JointStateReader(name, stream)
        self._columns = [stream.interfaces.index(it) for it in robot.command_names]
        self.state = ExecutorState()
        self.task = TaskState()
        self.pauses: list[Pause] = []
        self.counts: Counter[str] = Counter()
        self._holds: list[tuple[int, str, str]] = []
        self._commands: list[tuple[int, list[float]]] = []
        self._measured: list[tuple[int, np.ndarray]] = []
        # When the executor spoke, and how late its latest tick was since it spoke before.
        self._late: list[tuple[int, float]] = []
        # Stream to when it was heard.
        self._heard_ns: dict[str, list[int]] = {}
        peer = domain.peer
        peer.create_subscription(Float64MultiArray, group.topic, self._on_command, _LONG)
        peer.create_subscription(JointState, f"raw/{stream.topic}", self._on_measured, _LONG_SENSOR)
        self._hear(domain, name, JointState, stream.topic)
        for camera, spec in robot.cameras.items():
            self._hear(domain, camera, message_type(spec), spec.topic)
        peer.create_subscription(ExecutorState, "executor/state", self._on_state, _LONG)
        peer.create_subscription(TaskState, "simulation/task_state", self._on_task, _LONG)

    def _on_command(self, message: Float64MultiArray, info: dict[str, int]) -> None:
        self._commands.append((info["source_timestamp"], list(message.data)))

    def _on_measured(self, message: JointState) -> None:
        values = self._reader.values(message)[self._columns]
        self._measured.append((ns_from_time(message.header.stamp), values))

    def _hear(self, domain: Domain, stream: str, message: type, topic: str) -> None:
        """Take down when a sensor's messages are sent, not what is in them."""
        heard_ns = self._heard_ns[stream] = []

        def hear(_: bytes, info: dict[str, int]) -> None:
            heard_ns.append(info["source_timestamp"])

        domain.peer.create_subscription(message, topic, hear, _LONG_SENSOR, raw=True)

    def _on_task(self, message: TaskState) -> None:
        self.task = message

    def _on_state(self, message: ExecutorState) -> None:
        before, self.state = self.state, message
        reborn = message.ticks < before.ticks
        for name in _COUNTED:
            earlier = 0 if reborn else getattr(before, name)
            self.counts[name] += getattr(message, name) - earlier
        for kind, names, counts in (
            ("hold", message.hold_reasons, message.hold_ticks),
            ("drop", message.drop_kinds, message.drop_counts),
        ):
            earlier = {} if reborn else _pairs(before, kind)
            for name, count in zip(names, counts, strict=True):
                self.counts[f"{kind}.{name}"] += count - earlier.get(name, 0)
        stamp_ns = ns_from_time(message.header.stamp)
        self._late.append((stamp_ns, 1e-3 * max(message.tick_errors_ms, default=0.0)))
        if message.hold_reason:
            self._holds.append((stamp_ns, message.hold_reason, message.detail))

    @property
    def state_ns(self) -> int:
        """When the executor spoke last."""
        return ns_from_time(self.state.header.stamp)

    @property
    def joined_ns(self) -> float:
        """When the executor joined its last chunk; NaN: none yet."""
        return self.state_ns - 1e9 * self.state.since_chunk_s

    def commands(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) When commands were sent, and (N, D) what they said."""
        return _arrays(self._commands)

    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """(M,) When poses were measured, and (M, D) the poses."""
        return _arrays(self._measured)

    def late_s(self, moments_ns: np.ndarray) -> np.ndarray:
        """(N,) How late ticks were around each moment, as the executor says itself."""
        stamps_ns, late_s = _arrays([(0, 0.0), *self._late, (2**62, 0.0)])
        after = np.searchsorted(stamps_ns, moments_ns)
        places = np.clip(after[:, np.newaxis] + np.arange(-1, 2), 0, len(late_s) - 1)
        return late_s[places].max(axis=1)

    def latest_tick_s(self, begin_ns: int, end_ns: int) -> float:
        """How late a tick was at most between two moments, as the executor says itself."""
        between = [late_s for at_ns, late_s in self._late if begin_ns <= at_ns <= end_ns]
        return max(between, default=0.0)

    def held(self, since_ns: int) -> list[tuple[int, str, str]]:
        """When, for which reason and with which words it held since a moment."""
        return [hold for hold in self._holds if hold[0] >= since_ns]

    def silent_s(self, stream: str, begin_ns: int, end_ns: int) -> float:
        """The longest silence of a sensor that ended between two moments."""
        heard_ns = np.sort(np.array(self._heard_ns[stream], dtype=np.int64))
        ended = (heard_ns[1:] >= begin_ns) & (heard_ns[1:] <= end_ns)
        return float((np.diff(heard_ns)[ended] * 1e-9).max(initial=0.0))


def now_ns() -> int:
    """Now, on the clock of all stamps."""
    return time.time_ns()


def _pairs(state: ExecutorState, kind: str) -> dict[str, int]:
    if kind == "hold":
        return dict(zip(state.hold_reasons, state.hold_ticks, strict=True))
    return dict(zip(state.drop_kinds, state.drop_counts, strict=True))


def _arrays(samples: list) -> tuple[np.ndarray, np.ndarray]:
    stamps = np.array([stamp for stamp, _ in samples], dtype=np.int64)
    order = np.argsort(stamps, kind="stable")
    return stamps[order], np.array([values for _, values in samples])[order]
