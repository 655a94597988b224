# SPDX-License-Identifier: Apache-2.0
"""A camera of a body: its stream, and where it stands. Immutable; any thread may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vla_ros.core.section import Section

ImageTransport = Literal["raw", "compressed"]


@dataclass(frozen=True, slots=True)
class CameraGeometry:
    """Where a camera is and what it sees, as a pinhole.

    Attributes:
        parent_link: The link of the URDF that carries the camera.
        position_m: (3,) Origin of the optical frame in the parent link.
        rpy_rad: (3,) Roll, pitch, yaw of the REP-103 optical frame (z forward, x right, y down)
            in the parent link.
        fovy_rad: Vertical field of view.
    """

    parent_link: str
    position_m: tuple[float, ...]
    rpy_rad: tuple[float, ...]
    fovy_rad: float


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera stream.

    Attributes:
        topic: Relative topic name.
        transport: ``raw`` is sensor_msgs/Image, ``compressed`` is sensor_msgs/CompressedImage.
        height: Image height [px].
        width: Image width [px].
        max_age_s: An older frame is stale.
        geometry: Where the camera is, where a policy or the simulation needs it.
    """

    topic: str
    transport: ImageTransport
    height: int
    width: int
    max_age_s: float
    geometry: CameraGeometry | None


def read_camera(section: Section) -> CameraSpec:
    """Read a camera of a robot's description.

    Raises:
        ConfigError: A fact is missing or not allowed.
    """
    return CameraSpec(
        topic=section.text("topic"),
        transport=section.choice("transport", "raw", "compressed"),
        height=section.integer("height", minimum=1, maximum=8192),
        width=section.integer("width", minimum=1, maximum=8192),
        max_age_s=section.number("max_age_s", above=0.0),
        geometry=section.entry("geometry", _geometry) if section.has("geometry") else None,
    )


def _geometry(section: Section) -> CameraGeometry:
    return CameraGeometry(
        parent_link=section.text("parent_link"),
        position_m=section.numbers("position_m", length=3),
        rpy_rad=section.numbers("rpy_rad", length=3),
        fovy_rad=section.number("fovy_rad", above=0.0, maximum=3.0),
    )
