# SPDX-License-Identifier: Apache-2.0
"""Publishes a USB camera's images as JPEG files, each with the time when it was taken.

What a camera compresses itself is published as it came, undecoded. The topic is
``image_raw/compressed``, to be remapped to that of the robot's description. A camera that is pulled
out is looked for until it is back. Images are published by the thread that reads the camera.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage

from vla_ros.core.params import REQUIRED, param
from vla_ros.drivers.camera_stream import CameraStream
from vla_ros.drivers.usb_camera import CameraMode, Frame, UsbCamera
from vla_ros.drivers.video_devices import find_video_device
from vla_ros.ros.camera_info import load_camera_info
from vla_ros.ros.diagnostics import Diagnostics, Level, Status
from vla_ros.ros.images import bytes_of
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import SENSOR
from vla_ros.ros.stamps import time_from_ns
from vla_ros.ros.stream_rate import StreamRate

_OPEN_S = 8.0
# A camera that sends less than this share of what was asked for is complained about, once it has
# had the time to fill the rate's window.
_ENOUGH, _SETTLED_S = 0.9, 3.0


@dataclass(frozen=True, slots=True)
class UsbCameraParams:
    """What the camera's node can be told."""

    device: str = param(
        REQUIRED,
        "The camera: a link's name below /dev/v4l/by-id or by-path, a path, or N for /dev/videoN.",
        read_only=True,
    )
    width: int = param(640, "Image width [px].", ge=1, le=8192, read_only=True)
    height: int = param(480, "Image height [px].", ge=1, le=8192, read_only=True)
    fps: float = param(30.0, "Images per second [Hz].", ge=1.0, le=1000.0, read_only=True)
    frame_id: str = param("camera_optical_frame", "The images' frame of reference.", read_only=True)
    jpeg_quality: int = param(
        95, "With which uncompressed images are encoded.", ge=1, le=100, read_only=True
    )
    camera_info: str = param(
        "",
        "A calibration (.yaml) of camera_calibration, for camera_info beside each image; empty:"
        " none is published.",
        read_only=True,
    )
    silence_s: float = param(
        2.0,
        "A camera from which nothing came for so long is opened anew [s].",
        ge=0.1,
        le=60.0,
        read_only=True,
    )


class UsbCameraNode(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("usb_camera", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """See whether the camera is there."""
        self._params = self.parameters.declare(UsbCameraParams).value
        find_video_device(self._params.device)
        self._info = self._calibration()
        self._stream: CameraStream | None = None
        self._images = self.publisher(undo, CompressedImage, "image_raw/compressed", SENSOR)
        self._infos = (
            self.publisher(undo, CameraInfo, "camera_info", SENSOR) if self._info else None
        )
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Open the camera and publish."""
        self._lock = threading.Lock()
        self._rate = StreamRate()
        self._frame: Frame | None = None
        self._begun_s = time.monotonic()
        stream = CameraStream(
            self._open,
            self._publish,
            silence_s=self._params.silence_s,
            guard=self.fatal("the camera's thread"),
        )
        undo.callback(self._end, stream)
        stream.start(_OPEN_S)
        self._stream = stream
        self.get_logger().info(f"camera {self._params.device}: {self._how(stream)}")

    def _calibration(self) -> CameraInfo | None:
        params = self._params
        if not params.camera_info:
            return None
        path = Path(params.camera_info)
        return load_camera_info(path, height=params.height, width=params.width)

    def _open(self) -> UsbCamera:
        params = self._params
        mode = CameraMode(params.height, params.width, params.fps, params.jpeg_quality)
        return UsbCamera(find_video_device(params.device), mode)

    def _end(self, stream: CameraStream) -> None:
        self._stream = None
        stream.stop()

    def _how(self, stream: CameraStream) -> str:
        state = stream.state
        return (
            f"{self._params.width}x{self._params.height} px at {state.fps:g} Hz,"
            f" {'compressed by the camera' if state.compresses else 'compressed here'}"
        )

    def _publish(self, frame: Frame) -> None:
        """Publish an image; called by the camera's thread."""
        with self._lock:
            self._rate.received(time.monotonic_ns())
            self._frame = frame
        age_ns = time.monotonic_ns() - frame.captured_ns
        message = CompressedImage(format="jpeg", data=bytes_of(frame.jpeg))
        message.header.stamp = time_from_ns(self.get_clock().now().nanoseconds - age_ns)
        message.header.frame_id = self._params.frame_id
        self._images.publish(message)
        if self._info is not None and self._infos is not None:
            self._info.header = message.header
            self._infos.publish(self._info)

    def _statuses(self) -> Iterator[Status]:
        stream = self._stream
        if stream is None:
            yield Status("camera", Level.WARN, "is not read: the node is not active")
            return
        now_ns, state = time.monotonic_ns(), stream.state
        with self._lock:
            rate_hz, frame = self._rate.hz(now_ns), self._frame
        age_s = None if frame is None else (now_ns - frame.captured_ns) * 1e-9
        slow = rate_hz < _ENOUGH * self._params.fps
        settled = time.monotonic() - self._begun_s > _SETTLED_S
        level, message = Level.OK, "gives images"
        if state.problem:
            level, message = Level.ERROR, state.problem
        elif age_s is not None and age_s > self._params.silence_s:
            level, message = Level.ERROR, "has sent nothing for too long, and does not answer"
        elif slow and settled:
            level, message = Level.WARN, f"gives fewer images than {self._params.fps:g} Hz"
        yield Status(
            "camera",
            level,
            message,
            {
                "device": self._params.device,
                "rate_hz": f"{rate_hz:.1f}",
                "age_s": "" if age_s is None else f"{age_s:.3f}",
                "images": str(state.frames),
                "corrupt": str(state.corrupt),
                "opened": str(state.opened),
                "mode": self._how(stream),
            },
        )


def main() -> int:
    """Run the node."""
    return run(UsbCameraNode)


if __name__ == "__main__":
    sys.exit(main())
