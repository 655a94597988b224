# SPDX-License-Identifier: Apache-2.0
"""Which cameras there are, and the one that a user means. Reads the file system; any thread.

The numbers of ``/dev/video*`` are given in the order in which cameras are found, which changes. The
links below ``/dev/v4l/by-id`` (after maker and serial number) and ``by-path`` (after the socket)
stay. A camera may have several devices, of which the first gives images and others its metadata.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vla_ros.core.errors import ConfigError, DeviceError

_ROOT = Path("/")
_LINKS = ("dev/v4l/by-id", "dev/v4l/by-path")


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """One video device.

    Attributes:
        path: Where it is now, such as ``/dev/video0``.
        name: What it calls itself; empty where it does not say.
        links: Its stable paths, those after its serial number first.
    """

    path: Path
    name: str
    links: tuple[Path, ...]

    def __str__(self) -> str:
        """The device in words."""
        words = [f"{self.name!r}" if self.name else "", str(self.links[0]) if self.links else ""]
        told = ", ".join(word for word in words if word)
        return f"{self.path} ({told})" if told else str(self.path)


def video_devices(root: Path = _ROOT) -> tuple[VideoDevice, ...]:
    """The video devices that there are, in the order of their numbers.

    Args:
        root: Where the file system begins.
    """
    links = [link for folder in _LINKS for link in sorted((root / folder).glob("*"))]
    numbered = (
        (int(path.name.removeprefix("video")), path)
        for path in (root / "dev").glob("video*")
        if re.fullmatch(r"video\d+", path.name)
    )
    return tuple(
        VideoDevice(
            path, _name(path, root), tuple(link for link in links if link.resolve() == path)
        )
        for _, path in sorted(numbered)
    )


def find_video_device(device: str, root: Path = _ROOT) -> Path:
    """The path of a camera.

    Args:
        device: A number, a path, or the name of a link below ``/dev/v4l/by-id`` or ``by-path``.
        root: Where the file system begins.

    Returns:
        The path as it was given, not what a link points to: that may change.

    Raises:
        ConfigError: Nothing was given.
        DeviceError: There is no such device; the text lists those that there are.
    """
    if not device:
        raise ConfigError(f"no camera was given; {_known(root)}")
    if device.isdecimal():
        candidates = [root / "dev" / f"video{device}"]
    elif "/" in device:
        candidates = [Path(device)]
    else:
        candidates = [root / folder / device for folder in ("dev", *_LINKS)]
    for path in candidates:
        if path.exists():
            return path
    raise DeviceError(f"camera {device!r} does not exist; {_known(root)}")


def _known(root: Path) -> str:
    found = [str(device) for device in video_devices(root)]
    return f"there are: {'; '.join(found)}" if found else "there is no camera at all"


def _name(path: Path, root: Path) -> str:
    try:
        file = root / "sys/class/video4linux" / path.name / "name"
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
