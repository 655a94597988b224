# SPDX-License-Identifier: Apache-2.0
"""What teleimager, the image server of Unitree's robots and simulator, says: bytes to values.

There are two protocols. In the new one, a client asks for the configuration (REQ/REP), which tells
on which port each camera's JPEG files come (PUB). In the legacy one there is a single port: a JPEG
file with all cameras side by side, in some set-ups behind a header. Neither carries the time of an
image. Known from teleimager 57cf2a4 and xr_teleoperate d1510db. Pure; any thread may call.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vla_ros.core.errors import DeviceError
from vla_ros.core.jpeg_header import BEGIN

CONFIG_PORT = 60000
CONFIG_REQUEST = b"GET_DATA"
FIRST_PORT = 55555
LEGACY_PORT = 5555
_MAX_FPS = 1e4
# Time [s] and number of a frame, as the compiler of either side lays them out.
_HEADER = struct.Struct("dI")


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One camera of an image server.

    Attributes:
        name: How the server calls it.
        port: Where its images are published.
        height: Image height [px]; 0: not told.
        width: Image width [px]; 0: not told.
        binocular: Whether an image is said to be two side by side, of a left and a right eye.
        fps: Images per second [Hz] that are said to come; 0: not told.
    """

    name: str
    port: int
    height: int
    width: int
    binocular: bool
    fps: float


def source_name(camera: str) -> str:
    """How an image server calls a camera, as a rule.

    >>> source_name("chest")
    'chest_camera'
    """
    return f"{camera}_camera"


def usual_sources(
    sizes: Mapping[str, tuple[int, int]], *, fps: float, first_port: int = FIRST_PORT
) -> tuple[ImageSource, ...]:
    """The sources of an image server that follows the rules: of names, and of one port per camera.

    Args:
        sizes: Height and width [px] of each camera, by its name in the robot's description.
        fps: Images per second [Hz].
        first_port: The first camera's port.
    """
    return tuple(
        ImageSource(source_name(camera), first_port + place, *size, binocular=False, fps=fps)
        for place, (camera, size) in enumerate(sizes.items())
    )


def encode_config(sources: Iterable[ImageSource]) -> bytes:
    """The answer to a request for the configuration."""
    return json.dumps({source.name: _entry(source) for source in sources}).encode()


def decode_config(data: bytes) -> dict[str, ImageSource]:
    """The sources that publish images, by name; what is no camera or publishes none is left out.

    Raises:
        DeviceError: It is not a configuration.
    """
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"a camera configuration that is not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise DeviceError(f"a camera configuration that is {type(entries).__name__}, no object")
    # Beside the cameras stand other things, webrtc for one.
    return {
        name: _source(name, entry)
        for name, entry in entries.items()
        if isinstance(entry, dict) and entry.get("enable_zmq")
    }


def legacy_jpeg(message: bytes) -> bytes:
    """The JPEG file of a legacy message, without the header that some servers put before it.

    The header's time is of the server's clock, so it says nothing here.

    Raises:
        DeviceError: There is no JPEG file in it.
    """
    for start in (0, _HEADER.size):
        if message.startswith(BEGIN, start):
            return message[start:]
    raise DeviceError(f"no JPEG file: it begins with {message[:4].hex(' ') or 'nothing'}")


def legacy_message(jpeg: bytes, *, time_s: float, number: int) -> bytes:
    """A JPEG file behind the header that a legacy server sends in its test mode."""
    return _HEADER.pack(time_s, number) + jpeg


def _entry(source: ImageSource) -> dict[str, object]:
    """What a server tells of a camera; the last ones tell which device it is."""
    return {
        "enable_zmq": True,
        "zmq_port": source.port,
        "enable_webrtc": False,
        "webrtc_port": None,
        "webrtc_codec": None,
        "type": "uvc",
        "image_shape": [source.height, source.width],
        "binocular": source.binocular,
        "fps": source.fps,
        "video_id": None,
        "serial_number": None,
        "physical_path": None,
    }


def _source(name: str, entry: Mapping[str, object]) -> ImageSource:
    port = entry.get("zmq_port")
    if type(port) is not int or not 0 < port < 65536:
        raise DeviceError(f"camera {name}: zmq_port must be 1 to 65535, found {port!r}")
    # What is said of the images does not count, they speak for themselves.
    match entry.get("image_shape"):
        case [int(height), int(width)]:
            pass
        case _:
            height = width = 0
    fps = entry.get("fps")
    return ImageSource(
        name,
        port,
        height,
        width,
        binocular=bool(entry.get("binocular")),
        fps=float(fps) if isinstance(fps, (int, float)) and 0 < fps < _MAX_FPS else 0.0,
    )
