# SPDX-License-Identifier: Apache-2.0
"""One moment of a robot out of many streams.

The anchor is the newest moment that every camera has seen. The other cameras give the image nearest
to it, the state is interpolated to it, and every stream must be younger than its ``max_age_s``.
What is missing or stale is named; nothing is ever filled in. Where the past has to be shown, too,
and an episode is younger than that, its first frame stands for it, as in the data of a policy. One
thread, or an external lock. Stamps and ``now_ns`` are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ObservationError
from vla_ros.core.hold_reasons import STALE_CAMERA, STALE_STATE
from vla_ros.core.past_frames import NO_PAST, PastFrame
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.stream_buffer import StreamBuffer

ImageT = TypeVar("ImageT")

# Frames of the past among which another camera's anchor is looked for.
_CAMERA_CAPACITY = 4
# Covers the age of a camera frame (0.2 s and more) at the state rates in use (50 to 500 Hz).
_STATE_CAPACITY = 256


@dataclass(frozen=True, slots=True)
class SyncedSample(Generic[ImageT]):
    """One moment of a robot.

    Attributes:
        stamp_ns: The anchor.
        images: Name of the camera, or of a past frame, to the image's own stamp and the image as it
            was pushed.
        state_names: (D,) Measured interfaces.
        state: (D,) float64 at the anchor.
    """

    stamp_ns: int
    images: dict[str, tuple[int, ImageT]]
    state_names: tuple[str, ...]
    state: NDArray[np.float64]


class Synchronizer(Generic[ImageT]):
    """Keeps the newest data of every stream and makes one moment of it when asked."""

    def __init__(self, robot: RobotSpec, past: Mapping[str, PastFrame] = NO_PAST) -> None:
        """Make empty buffers for a robot's cameras and state streams.

        Args:
            robot: The robot.
            past: Frames of the past that each moment shall have too, by name.
        """
        self._robot = robot
        self._past = past
        self._begun_ns = 0
        self._cameras: dict[str, StreamBuffer[ImageT]] = {
            name: StreamBuffer(_CAMERA_CAPACITY, span_ns=_span_ns(name, robot, past))
            for name in robot.cameras
        }
        self._states: dict[str, StreamBuffer[NDArray[np.float64]]] = {
            name: StreamBuffer(_STATE_CAPACITY) for name in robot.state_streams
        }

    def push_image(self, camera: str, stamp_ns: int, image: ImageT) -> bool:
        """Take an image. It is kept as it is, since most are never used.

        Returns:
            Whether it was taken; a repeated or very late stamp is not.
        """
        return self._cameras[camera].push(stamp_ns, image)

    def push_state(self, stream: str, stamp_ns: int, values: NDArray[np.float64]) -> bool:
        """Take a state sample.

        Args:
            stream: A state stream of the robot.
            stamp_ns: When it was measured.
            values: (D,) In the order of the stream's interfaces.

        Returns:
            Whether it was taken; a repeated or very late stamp is not.
        """
        return self._states[stream].push(stamp_ns, values)

    def clear(self) -> None:
        """Forget everything, as when the clock jumped back."""
        for camera in self._cameras.values():
            camera.clear()
        self._begun_ns = 0
        for state in self._states.values():
            state.clear()

    def begin_episode(self, now_ns: int) -> None:
        """From now on, no past frame is older than this: it was of another episode."""
        self._begun_ns = now_ns

    def ages_s(self, now_ns: int) -> dict[str, float | None]:
        """Stream name to the age of its newest sample; None where there is none yet."""
        newest = {
            **{name: buffer.newest() for name, buffer in self._cameras.items()},
            **{name: buffer.newest() for name, buffer in self._states.items()},
        }
        return {
            name: None if sample is None else (now_ns - sample[0]) * 1e-9
            for name, sample in newest.items()
        }

    def sample(self, now_ns: int) -> SyncedSample[ImageT]:
        """The newest moment that every stream has seen.

        Raises:
            ObservationError: A stream is missing, stale, or out of step; it names the stream.
        """
        anchor_ns = self._anchor(now_ns)
        images = {name: self._image(name, anchor_ns) for name in self._cameras}
        for name, frame in self._past.items():
            images[name] = self._past_image(frame, anchor_ns, newest=images[frame.camera])
        states = [self._state(name, anchor_ns, now_ns) for name in self._states]
        return SyncedSample(
            anchor_ns, images, self._robot.state_names, np.concatenate(states, dtype=np.float64)
        )

    def _anchor(self, now_ns: int) -> int:
        """The oldest of the cameras' newest stamps; without cameras, of the states'."""
        if not self._cameras:
            return min(
                _fresh(
                    self._states[name],
                    now_ns,
                    stream.max_age_s,
                    f"state stream {name}",
                    STALE_STATE,
                    name,
                )
                for name, stream in self._robot.state_streams.items()
            )
        return min(
            _fresh(
                self._cameras[name], now_ns, camera.max_age_s, f"camera {name}", STALE_CAMERA, name
            )
            for name, camera in self._robot.cameras.items()
        )

    def _image(self, name: str, anchor_ns: int) -> tuple[int, ImageT]:
        nearest = self._cameras[name].nearest(anchor_ns)
        skew_s = abs(nearest[0] - anchor_ns) * 1e-9 if nearest else np.inf
        if nearest is None or skew_s > self._robot.max_camera_skew_s:
            raise ObservationError(
                f"camera {name} has no frame within max_camera_skew_s"
                f" {self._robot.max_camera_skew_s:g} s of the other cameras' newest common moment"
                f" (nearest: {skew_s:.3f} s)",
                reason=STALE_CAMERA,
                stream=name,
            )
        return nearest

    def _past_image(
        self, frame: PastFrame, anchor_ns: int, newest: tuple[int, ImageT]
    ) -> tuple[int, ImageT]:
        """A frame of the past, which is never newer than the one that stands for now."""
        wanted_ns = max(anchor_ns - frame.age_ns, self._begun_ns)
        found = self._cameras[frame.camera].nearest(wanted_ns, since_ns=self._begun_ns) or newest
        return found if found[0] < newest[0] else newest

    def _state(self, name: str, anchor_ns: int, now_ns: int) -> NDArray[np.float64]:
        """(D,) A stream's state at the anchor, linear between its neighbours.

        A state that ends before the anchor is not extrapolated; its own age check bounds the gap.
        """
        stream = self._robot.state_streams[name]
        buffer = self._states[name]
        what = f"state stream {name}"
        _fresh(buffer, now_ns, stream.max_age_s, what, STALE_STATE, name)
        around = buffer.around(anchor_ns)
        gap_s = 0.0 if around is None else max(around[0][0] - anchor_ns, 0) * 1e-9
        if around is None or gap_s > stream.max_age_s:
            raise ObservationError(
                f"{what} begins {gap_s:.3f} s after the camera images",
                reason=STALE_STATE,
                stream=name,
            )
        (before_ns, before), (after_ns, after) = around
        if after_ns == before_ns:
            return before
        weight = (anchor_ns - before_ns) / (after_ns - before_ns)
        return (1.0 - weight) * before + weight * after


def _span_ns(camera: str, robot: RobotSpec, past: Mapping[str, PastFrame]) -> int:
    """How long a camera's frames are kept beyond the few of every camera."""
    ages_ns = [frame.age_ns for frame in past.values() if frame.camera == camera]
    # The moment from which the past counts may be as old as the images of any camera.
    oldest_s = max(spec.max_age_s for spec in robot.cameras.values())
    return max(ages_ns) + round(oldest_s * 1e9) if ages_ns else 0


def _fresh(
    buffer: StreamBuffer[Any], now_ns: int, max_age_s: float, what: str, reason: str, stream: str
) -> int:
    """The newest stamp of a stream, refused if there is none, or it is stale or of the future."""
    newest = buffer.newest()
    if newest is None:
        raise ObservationError(f"{what} has sent nothing yet", reason=reason, stream=stream)
    age_s = (now_ns - newest[0]) * 1e-9
    if age_s > max_age_s:
        raise ObservationError(
            f"{what} is stale: its newest sample is {age_s:.3f} s old, allowed are {max_age_s:g} s",
            reason=reason,
            stream=stream,
        )
    if age_s < -max_age_s:
        raise ObservationError(
            f"{what} is stamped {-age_s:.3f} s in the future; are the clocks synchronized?",
            reason=reason,
            stream=stream,
        )
    return newest[0]
