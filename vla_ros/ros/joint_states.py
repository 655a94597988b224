# SPDX-License-Identifier: Apache-2.0
"""JointState messages to the values of a state stream, and to where the robot is now.

A reader belongs to one thread; ``MeasuredPose`` is written by one thread and read by another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from vla_ros.core.errors import ObservationError
from vla_ros.core.executor_status import Measured
from vla_ros.core.hold_reasons import STALE_STATE
from vla_ros.core.robot_spec import RobotSpec, StateStream
from vla_ros.ros.ring_messages import doubles


def joint_state_message(
    interfaces: Sequence[str],
    values: NDArray[np.float64],
    stamp: Time,
    *,
    velocity: NDArray[np.float64] | None = None,
    effort: NDArray[np.float64] | None = None,
) -> JointState:
    """What a robot publishes of its joints.

    Args:
        interfaces: (D,) Names such as ``elbow/position``, all of positions.
        values: (D,) Their values.
        stamp: When they were measured.
        velocity: (D,) Their velocities, if measured.
        effort: (D,) Their efforts, if measured.
    """
    message = JointState(
        name=[interface.rpartition("/")[0] for interface in interfaces], position=doubles(values)
    )
    if velocity is not None:
        message.velocity = doubles(velocity)
    if effort is not None:
        message.effort = doubles(effort)
    message.header.stamp = stamp
    return message


def joint_state_readers(streams: Mapping[str, StateStream]) -> dict[str, JointStateReader]:
    """Stream name to its reader, for all streams of a robot, some of which may share a topic."""
    return {
        name: JointStateReader(
            name,
            stream,
            others=(
                joint
                for other in streams.values()
                if other is not stream and other.topic == stream.topic
                for joint in other.map.joints
            ),
        )
        for name, stream in streams.items()
    }


class JointStateReader:
    """Picks one stream's interfaces out of its messages, by joint name."""

    def __init__(self, name: str, stream: StateStream, *, others: Iterable[str] = ()) -> None:
        """Read for a stream.

        Args:
            name: The stream's name, for errors.
            stream: Its description.
            others: Joints of other streams with the same topic.
        """
        self._name = name
        self._interfaces = stream.interfaces
        self._map = stream.map
        self._own = frozenset(stream.map.joints)
        self._others = frozenset(others) - self._own
        self._joints: Sequence[str] = ()
        self._picks: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}

    def is_for_another(self, message: JointState) -> bool:
        """Whether a message is of other streams with the same topic, and of them alone."""
        return self._own.isdisjoint(message.name) and not self._others.isdisjoint(message.name)

    def values(self, message: JointState) -> NDArray[np.float64]:
        """(D,) What was measured, in the order of the stream's interfaces.

        Raises:
            ObservationError: A joint or a quantity is missing, or a value is not finite.
        """
        if message.name != self._joints:
            self._picks = self._pick(message.name)
            self._joints = list(message.name)
        values = np.empty(len(self._interfaces))
        for quantity, (places, columns) in self._picks.items():
            found = np.asarray(getattr(message, quantity), dtype=np.float64)
            if len(found) != len(message.name):
                raise self._error(
                    f"has {len(message.name)} joint names and {len(found)} values of {quantity}"
                )
            values[places] = found[columns]
        if not np.isfinite(values).all():
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            raise self._error(f"says {self._interfaces[place]} is {values[place]}")
        return self._map.from_robot(values)

    def _pick(self, joints: Sequence[str]) -> dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Quantity to where its values go, and where in the message they come from."""
        columns = {joint: column for column, joint in enumerate(joints)}
        if len(columns) != len(joints):
            raise self._error("names a joint twice")
        pairs: dict[str, list[tuple[int, int]]] = {}
        for place, (interface, joint) in enumerate(
            zip(self._interfaces, self._map.joints, strict=True)
        ):
            quantity = interface.rpartition("/")[2]
            if joint not in columns:
                raise self._error(f"lacks joint {joint!r}; it has {', '.join(joints) or 'none'}")
            pairs.setdefault(quantity, []).append((place, columns[joint]))
        return {
            quantity: (
                np.array([place for place, _ in found], dtype=np.intp),
                np.array([column for _, column in found], dtype=np.intp),
            )
            for quantity, found in pairs.items()
        }

    def _error(self, text: str) -> ObservationError:
        return ObservationError(
            f"state stream {self._name}: the message {text}", reason=STALE_STATE, stream=self._name
        )


class MeasuredPose:
    """Where the commanded interfaces are, gathered from all state streams that measure them."""

    def __init__(self, robot: RobotSpec) -> None:
        """Know nothing yet."""
        commanded = robot.command_names
        self._size = len(commanded)
        self._places: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        for name, stream in robot.state_streams.items():
            shared = [
                (commanded.index(interface), column)
                for column, interface in enumerate(stream.interfaces)
                if interface in commanded
            ]
            if shared:
                places, columns = np.array(shared, dtype=np.intp).T
                self._places[name] = places, columns
        # Replaced whole, never changed, so that the reader needs no lock.
        self._newest: dict[str, tuple[NDArray[np.float64], int]] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """The state streams that are needed."""
        return tuple(self._places)

    def update(self, stream: str, values: NDArray[np.float64], received_ns: int) -> None:
        """Take a sample.

        Args:
            stream: One of ``streams``.
            values: (D,) In the order of the stream's interfaces.
            received_ns: Now, on the steady clock.
        """
        self._newest = {**self._newest, stream: (values, received_ns)}

    def read(self, steady_ns: int) -> Measured | None:
        """The pose, as old as its oldest part; None until every stream has spoken.

        Args:
            steady_ns: Now, on the steady clock.
        """
        newest = self._newest
        if len(newest) < len(self._places):
            return None
        pose = np.empty(self._size)
        for name, (places, columns) in self._places.items():
            pose[places] = newest[name][0][columns]
        oldest_ns = min(received_ns for _, received_ns in newest.values())
        return Measured(pose, max(steady_ns - oldest_ns, 0) * 1e-9)
