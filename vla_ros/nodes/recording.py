# SPDX-License-Identifier: Apache-2.0
"""A recorded episode: an ``.npz`` of states and actions, and the ``.mp4`` of one camera beside it.

The npz holds ``state`` (N, D) and ``action`` (N, D), joint positions [rad], and ``timestamp_s``
(N,). Frame k of the video belongs to row k. A ``Video`` belongs to one thread.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.camera_spec import CameraSpec
from vla_ros.core.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The numbers of an episode.

    Attributes:
        path: The npz file.
        state: (N, D) Measured joint positions [rad].
        timestamp_ns: (N,) int64. When each row was recorded, from the episode's beginning.
    """

    path: Path
    state: NDArray[np.float64]
    timestamp_ns: NDArray[np.int64]

    @property
    def video(self) -> Path:
        """The video's file."""
        return self.path.with_suffix(".mp4")


def load_recording(path: Path, columns: tuple[str, ...]) -> Recording:
    """Read an episode's numbers.

    Args:
        path: The npz file.
        columns: (D,) What the columns of the state are, for errors.

    Raises:
        ConfigError: A file or array is missing, or does not have the right shape or values.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in ("state", "timestamp_s") if name not in arrays]
            if missing:
                raise ConfigError(
                    f"{path}: array {missing[0]!r} is missing; there are {', '.join(arrays)}"
                )
            state = np.asarray(arrays["state"], dtype=np.float64)
            timestamp_s = np.asarray(arrays["timestamp_s"], dtype=np.float64)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read as a recording: {error}") from error
    if state.ndim != 2 or state.shape[1] != len(columns) or len(state) == 0:
        raise ConfigError(
            f"{path}: state has shape {state.shape}, expected (N >= 1, {len(columns)}) for"
            f" {columns[0]} to {columns[-1]}"
        )
    if timestamp_s.shape != (len(state),):
        raise ConfigError(
            f"{path}: timestamp_s has shape {timestamp_s.shape}, expected ({len(state)},) as state"
        )
    if not np.isfinite(state).all() or not np.isfinite(timestamp_s).all():
        raise ConfigError(f"{path}: state and timestamp_s must be finite")
    if timestamp_s[0] < 0.0 or not (np.diff(timestamp_s) > 0.0).all():
        raise ConfigError(f"{path}: timestamp_s must begin at 0 or later, and increase row by row")
    return Recording(path, state, np.round(timestamp_s * 1e9).astype(np.int64))


class Video:
    """The frames of an episode, one after the other."""

    def __init__(self, path: Path, *, frames: int, spec: CameraSpec) -> None:
        """Open a video.

        Args:
            path: The file.
            frames: How many frames it must have.
            spec: The camera, whose image size it must have.

        Raises:
            ConfigError: It is missing, cannot be read, or is not as it must be.
        """
        if not path.is_file():
            raise ConfigError(f"{path}: the recording's video does not exist")
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ConfigError(f"{path}: cannot be read as a video")
        found = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if found != frames:
            raise ConfigError(f"{path}: has {found} frames, while the recording has {frames} rows")
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        if (height, width) != (spec.height, spec.width):
            raise ConfigError(
                f"{path}: is {height}x{width} px, while the camera is {spec.height}x{spec.width}"
                " (height x width)"
            )

    def read(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB. The next frame.

        Raises:
            ConfigError: There is none, or it is damaged.
        """
        good, frame = self._capture.read()
        if not good:
            raise ConfigError(f"{self._path}: ends before it should, or is damaged")
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()
