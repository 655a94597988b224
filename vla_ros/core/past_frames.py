# SPDX-License-Identifier: Apache-2.0
"""Frames of the past, for policies that are shown how things moved.

Such a policy's ``delta_indices`` say which moments it looks at, in steps of its data before now:
(-20, 0) is twenty steps ago and now. A past frame travels like any other image, under the name of
its camera and moment: ``head@-20`` beside ``head``. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vla_ros.core.section import Section

# What a policy without history looks at.
NOW = (0,)
_FARTHEST = -10_000


@dataclass(frozen=True, slots=True)
class PastFrame:
    """A frame that is wanted beside a camera's newest one.

    Attributes:
        camera: Whose it is.
        age_ns: How long before the moment of the observation it was taken [ns].
    """

    camera: str
    age_ns: int


NO_PAST: Mapping[str, PastFrame] = MappingProxyType({})


def frame_name(camera: str, delta: int) -> str:
    """What a camera's frame of some moment is called.

    >>> frame_name("chest", -20), frame_name("chest", 0)
    ('chest@-20', 'chest')
    """
    return f"{camera}@{delta}" if delta else camera


def camera_of(frame: str) -> str:
    """Whose frame it is.

    >>> camera_of("chest@-20"), camera_of("chest")
    ('chest', 'chest')
    """
    return frame.partition("@")[0]


def frame_names(camera: str, deltas: Iterable[int]) -> tuple[str, ...]:
    """A camera's frames of some moments, in their order."""
    return tuple(frame_name(camera, delta) for delta in deltas)


def past_frames(
    cameras: Iterable[str], deltas: tuple[int, ...], step_ns: int
) -> Mapping[str, PastFrame]:
    """The frames that are wanted beside the newest ones, by name.

    Args:
        cameras: Whose frames.
        deltas: The policy's moments; the last is now.
        step_ns: Time between two of its steps [ns].
    """
    return {
        frame_name(camera, delta): PastFrame(camera, -delta * step_ns)
        for camera in cameras
        for delta in deltas[:-1]
    }


def read_delta_indices(section: Section) -> tuple[int, ...]:
    """The moments that a video key looks at; now alone where the file does not say.

    Raises:
        ConfigError: They do not rise to 0.
    """
    if not section.has("delta_indices"):
        return NOW
    deltas = section.integers("delta_indices", minimum=_FARTHEST, maximum=0)
    if deltas != tuple(sorted(set(deltas))) or deltas[-1] != 0:
        raise section.error(
            f"must rise and end with 0 (now), found {list(deltas)}", "delta_indices"
        )
    return deltas
