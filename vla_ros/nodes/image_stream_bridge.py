# SPDX-License-Identifier: Apache-2.0
"""Publishes the images of a teleimager, the image server of Unitree's robots and simulator.

A JPEG file that is one camera's image is published as it came, undecoded. The images carry no
time, so a stamp is when an image was received, less ``latency_s``. A server that is not there, or
gone, is looked for until it is there. Images are published by the thread that receives them.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sensor_msgs.msg import CompressedImage

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError, DeviceError
from vla_ros.core.params import param
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.drivers.image_slots import Half, Slot, take_apart
from vla_ros.drivers.image_stream import (
    LEGACY_SOURCE,
    ImageHost,
    ImageStream,
    StreamedImage,
)
from vla_ros.drivers.teleimager import CONFIG_PORT, LEGACY_PORT, legacy_jpeg, source_name
from vla_ros.nodes.image_stream_report import Inflow, server_status, source_status
from vla_ros.ros.diagnostics import Diagnostics, Level, Status
from vla_ros.ros.images import bytes_of, optical_frame
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import SENSOR
from vla_ros.ros.stamps import time_from_ns

_HALVES: Mapping[str, Half] = {"whole": "whole", "left": "left", "right": "right"}


@dataclass(frozen=True, slots=True)
class ImageStreamBridgeParams:
    """What the bridge can be told."""

    robot: str = param("g1_inspire", "Robot description: a name or a .yaml file.", read_only=True)
    host: str = param("127.0.0.1", "Where the image server is: a name or address.", read_only=True)
    protocol: Literal["auto", "teleimager", "legacy"] = param(
        "auto", "The server's protocol; auto finds it out.", read_only=True
    )
    config_port: int = param(
        CONFIG_PORT, "Port of the new protocol's configuration.", ge=1, le=65535, read_only=True
    )
    legacy_port: int = param(
        LEGACY_PORT, "Port of the legacy protocol's images.", ge=1, le=65535, read_only=True
    )
    sources: tuple[str, ...] = param(
        (),
        "Where a camera's images come from, 'camera=source'; else camera x takes x_camera. In the"
        " legacy protocol the sources stand side by side, in the order of the robot's cameras.",
        read_only=True,
    )
    halves: tuple[str, ...] = param(
        (),
        "Which eye a camera takes of a binocular source, 'camera=left' or 'camera=right'; it is"
        " decoded and encoded again.",
        read_only=True,
    )
    jpeg_quality: int = param(
        90, "With which parts of an image are encoded again.", ge=1, le=100, read_only=True
    )
    latency_s: float = param(
        0.0, "How old an image is when it arrives [s].", ge=0.0, le=10.0, read_only=True
    )
    silence_s: float = param(
        2.0,
        "A source from which nothing came for so long is looked for anew [s].",
        ge=0.1,
        le=60.0,
        read_only=True,
    )
    still_after_s: float = param(
        0.2,
        "An image that comes again, byte by byte, is dropped for so long; then the scene counts as"
        " still [s]. 0: it never does, for real cameras.",
        ge=0.0,
        le=10.0,
        read_only=True,
    )


class ImageStreamBridge(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("image_stream_bridge", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """See which camera gets what."""
        self._params = params = self.parameters.declare(ImageStreamBridgeParams).value
        robot = load_robot_spec(config_file("robots", params.robot))
        self._slots = slots_of(robot, params)
        self._stream: ImageStream | None = None
        self._images = {
            slot.camera: self.publisher(
                undo, CompressedImage, robot.cameras[slot.camera].topic, SENSOR
            )
            for slot in self._slots
        }
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Receive and publish."""
        params = self._params
        self._lock = threading.Lock()
        by_source: dict[str, tuple[Slot, ...]] = {LEGACY_SOURCE: self._slots}
        for slot in self._slots:
            by_source[slot.source] = (*by_source.get(slot.source, ()), slot)
        self._inflows = {
            source: Inflow(slots, params.still_after_s, params.silence_s)
            for source, slots in by_source.items()
        }
        stream = ImageStream(
            ImageHost(params.host, params.config_port, params.legacy_port, params.protocol),
            [source for source in by_source if source != LEGACY_SOURCE],
            self._on_image,
            silence_s=params.silence_s,
            guard=self.fatal("the images' thread"),
        )
        undo.callback(self._end, stream)
        stream.start()
        self._stream = stream

    def _end(self, stream: ImageStream) -> None:
        self._stream = None
        stream.stop()

    def _on_image(self, image: StreamedImage) -> None:
        """Publish what is in an image; called by the images' thread."""
        inflow = self._inflows[image.source]
        legacy = image.source == LEGACY_SOURCE
        try:
            jpeg = legacy_jpeg(image.data) if legacy else image.data
            with self._lock:
                taken = inflow.takes(jpeg, image.received_ns)
            if not taken:
                return
            parts = take_apart(jpeg, inflow.slots, quality=self._params.jpeg_quality)
        except DeviceError as error:
            with self._lock:
                news = inflow.refuse(str(error), image.received_ns)
            if news:
                self.get_logger().error(str(error))
            return
        with self._lock:
            inflow.problem = ""
        self._publish(parts, image.received_ns)

    def _publish(self, parts: Mapping[str, bytes], received_ns: int) -> None:
        age_ns = time.monotonic_ns() - received_ns + round(self._params.latency_s * 1e9)
        stamp = time_from_ns(self.get_clock().now().nanoseconds - age_ns)
        for camera, jpeg in parts.items():
            message = CompressedImage(format="jpeg", data=bytes_of(np.frombuffer(jpeg, np.uint8)))
            message.header.stamp = stamp
            message.header.frame_id = optical_frame(camera)
            self._images[camera].publish(message)

    def _statuses(self) -> Iterator[Status]:
        stream = self._stream
        if stream is None:
            yield Status("images", Level.WARN, "are not received: the node is not active")
            return
        state = stream.state
        yield server_status(state)
        legacy = state.protocol == "legacy"
        for source, inflow in self._inflows.items():
            if (source == LEGACY_SOURCE) == legacy:
                with self._lock:
                    status = source_status(source, inflow, state)
                yield status


def slots_of(robot: RobotSpec, params: ImageStreamBridgeParams) -> tuple[Slot, ...]:
    """Which camera of a robot takes what, in the order of the robot's description.

    Raises:
        ConfigError: A camera is not the robot's, or not published as JPEG, or an eye is none.
    """
    sources = _assigned("sources", params.sources, robot)
    halves = _assigned("halves", params.halves, robot)
    for camera, half in halves.items():
        if half not in _HALVES:
            raise ConfigError(f"halves: {camera}={half}: must be one of {', '.join(_HALVES)}")
    for camera, spec in robot.cameras.items():
        if spec.transport != "compressed":
            raise ConfigError(
                f"{robot.source}: cameras.{camera}.transport must be compressed, as the images"
                f" come; found {spec.transport}"
            )
    return tuple(
        Slot(
            camera,
            sources.get(camera, source_name(camera)),
            spec.height,
            spec.width,
            _HALVES[halves.get(camera, "whole")],
        )
        for camera, spec in robot.cameras.items()
    )


def _assigned(name: str, entries: tuple[str, ...], robot: RobotSpec) -> dict[str, str]:
    """``camera=value`` entries as a mapping."""
    found = {}
    for entry in entries:
        camera, _, value = entry.partition("=")
        if camera not in robot.cameras or not value:
            raise ConfigError(
                f"{name}: must be 'camera=...' with a camera of {', '.join(robot.cameras)};"
                f" found {entry!r}"
            )
        found[camera] = value
    return found


def main() -> int:
    """Run the node."""
    return run(ImageStreamBridge)


if __name__ == "__main__":
    sys.exit(main())
