# SPDX-License-Identifier: Apache-2.0
"""A body: what `config/robots/<robot>.yaml` says of it.

A ``RobotSpec`` is immutable and complete: facts have no defaults, so what stands in the file is all
there is. Interfaces are named the ros2_control way, ``<joint>/position``. Radians, metres, seconds.
Any thread may read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.camera_spec import CameraSpec, read_camera
from vla_ros.core.joint_map import JointMap, read_joint_map
from vla_ros.core.section import Section, repeated
from vla_ros.core.workspace import WorkspaceSpec, read_workspace
from vla_ros.core.yaml_file import load

StateType = Literal["joint_state"]
CommandType = Literal["position_array", "joint_trajectory"]
Joining = Literal["continuous", "switched"]

STATE_QUANTITIES = ("position", "velocity", "effort")
COMMAND_QUANTITIES = ("position",)


@dataclass(frozen=True, slots=True)
class InterfaceLimits:
    """What a command interface may be told.

    Attributes:
        lower: Least value [rad or m].
        upper: Greatest value [rad or m].
        max_velocity: Greatest speed of the command [1/s of the above].
        max_acceleration: Greatest acceleration of the command [1/s^2 of the above].
        joining: ``continuous`` interfaces are interpolated and blended; ``switched`` ones (a
            gripper) take each action as it comes, because the mean of open and closed is neither.
    """

    lower: float
    upper: float
    max_velocity: float
    max_acceleration: float
    joining: Joining


@dataclass(frozen=True, slots=True)
class StateStream:
    """One topic of measured state.

    Attributes:
        topic: Relative topic name; several streams may share it.
        type: The message: ``joint_state`` is sensor_msgs/JointState.
        interfaces: (D,) What is taken from it, in this order.
        max_age_s: An older sample is stale.
        map: How the messages name and count them.
    """

    topic: str
    type: StateType
    interfaces: tuple[str, ...]
    max_age_s: float
    map: JointMap


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """One controller and what it is told.

    Attributes:
        topic: Relative topic name.
        type: ``position_array`` is std_msgs/Float64MultiArray as ForwardCommandController takes
            it, ``joint_trajectory`` is trajectory_msgs/JointTrajectory with one point.
        interfaces: (D,) In the controller's order.
        map: How the controller names and counts them.
    """

    topic: str
    type: CommandType
    interfaces: tuple[str, ...]
    map: JointMap


@dataclass(frozen=True, slots=True)
class RobotSpec:
    """A body, whole.

    Attributes:
        name: The robot's name.
        source: The file it was read from.
        urdf: Its URDF file, where kinematics are needed.
        workspace: Where one of its links must stay, if anywhere.
        max_camera_skew_s: Greatest difference of stamps within one set of camera images.
        limits: Command interface to its limits.
        cameras: Camera name to stream.
        state_streams: Stream name to stream.
        command_groups: Group name to controller.
    """

    name: str
    source: str
    urdf: Path | None
    workspace: WorkspaceSpec | None
    max_camera_skew_s: float
    limits: Mapping[str, InterfaceLimits]
    cameras: Mapping[str, CameraSpec]
    state_streams: Mapping[str, StateStream]
    command_groups: Mapping[str, CommandGroup]

    @property
    def state_names(self) -> tuple[str, ...]:
        """(D,) All measured interfaces, stream after stream."""
        return tuple(name for stream in self.state_streams.values() for name in stream.interfaces)

    @property
    def command_names(self) -> tuple[str, ...]:
        """(D,) All commanded interfaces, group after group."""
        return tuple(name for group in self.command_groups.values() for name in group.interfaces)

    def limit_array(
        self, field: Literal["lower", "upper", "max_velocity", "max_acceleration"]
    ) -> NDArray[np.float64]:
        """(D,) One limit of every commanded interface, in ``command_names`` order."""
        return np.array([getattr(self.limits[name], field) for name in self.command_names])

    @property
    def switched(self) -> NDArray[np.bool_]:
        """(D,) Which commanded interfaces are switched and never blended."""
        return np.array([self.limits[name].joining == "switched" for name in self.command_names])


def load_robot_spec(path: Path) -> RobotSpec:
    """Read a robot's description.

    Args:
        path: A file such as ``config/robots/so101.yaml``.

    Raises:
        ConfigError: The file is missing, malformed, incomplete or contradicts itself.
    """
    return robot_spec_from(load(path), folder=path.parent)


def robot_spec_from(root: Section, *, folder: Path) -> RobotSpec:
    """Read a robot's description from a parsed file.

    Args:
        root: The top level of the file.
        folder: Where the URDF's path starts.

    Raises:
        ConfigError: The description is malformed, incomplete or contradicts itself.
    """
    root.choice("on_starvation", "hold")
    spec = RobotSpec(
        name=root.text("name"),
        source=root.source,
        urdf=folder / root.text("urdf") if root.has("urdf") else None,
        workspace=root.entry("workspace", read_workspace) if root.has("workspace") else None,
        max_camera_skew_s=root.number("max_camera_skew_s", above=0.0),
        limits=root.entries("interfaces", _limits),
        cameras=root.entries("cameras", read_camera),
        state_streams=root.entries("state_streams", _state),
        command_groups=root.entries("command_groups", _group),
    )
    root.finish()
    _check(spec, root)
    return spec


def _limits(section: Section) -> InterfaceLimits:
    limits = InterfaceLimits(
        lower=section.number("lower"),
        upper=section.number("upper"),
        max_velocity=section.number("max_velocity", above=0.0),
        max_acceleration=section.number("max_acceleration", above=0.0),
        joining=section.choice("joining", "continuous", "switched"),
    )
    if limits.lower >= limits.upper:
        raise section.error(f"lower {limits.lower} must be less than upper {limits.upper}")
    return limits


def _state(section: Section) -> StateStream:
    interfaces = _interfaces(section, STATE_QUANTITIES)
    return StateStream(
        topic=section.text("topic"),
        type=section.choice("type", "joint_state"),
        interfaces=interfaces,
        max_age_s=section.number("max_age_s", above=0.0),
        map=read_joint_map(section, interfaces),
    )


def _group(section: Section) -> CommandGroup:
    interfaces = _interfaces(section, COMMAND_QUANTITIES)
    return CommandGroup(
        topic=section.text("topic"),
        type=section.choice("type", "position_array", "joint_trajectory"),
        interfaces=interfaces,
        map=read_joint_map(section, interfaces),
    )


def _interfaces(section: Section, quantities: tuple[str, ...]) -> tuple[str, ...]:
    names = section.texts("interfaces")
    for name in names:
        joint, _, quantity = name.rpartition("/")
        if not joint or quantity not in quantities:
            raise section.error(
                f"must be named <joint>/<{'|'.join(quantities)}>; found {name!r}", "interfaces"
            )
    return names


def _check(spec: RobotSpec, root: Section) -> None:
    """Refuse a description whose parts contradict each other."""
    if spec.workspace is not None and spec.urdf is None:
        raise root.error("needs the kinematics of a urdf, and there is none", "workspace")
    for key, names in (("state_streams", spec.state_names), ("command_groups", spec.command_names)):
        if not names:
            raise root.error("must hold at least one entry, found none", key)
        for name in repeated(names):
            raise root.error(f"{name} stands in more than one entry; one is allowed", key)
    for name in repeated((*spec.cameras, *spec.state_streams)):
        raise root.error(f"{name!r} is a camera as well; a name stands for one", "state_streams")
    entries: tuple[CameraSpec | CommandGroup, ...] = (
        *spec.cameras.values(),
        *spec.command_groups.values(),
    )
    # Parts of a body may tell their joints on one topic, as ROS drivers do.
    measured = {stream.topic for stream in spec.state_streams.values()}
    for topic in repeated((*measured, *(entry.topic for entry in entries))):
        raise root.error(f"topic {topic!r} stands in more than one entry; one is allowed")
    for name in spec.command_names:
        if name not in spec.limits:
            raise root.error(
                f"commanded {name} has no limits here; these have: {', '.join(spec.limits)}",
                "interfaces",
            )
        if name not in spec.state_names:
            raise root.error(
                f"{name} is measured by no state stream, so the first command could not start from"
                f" where the robot is; measured are {', '.join(spec.state_names)}",
                "command_groups",
            )
    for name in spec.limits:
        if name not in spec.command_names:
            raise root.error(
                f"{name} is in no command group; they have {', '.join(spec.command_names)}",
                "interfaces",
            )
