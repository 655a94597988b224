# SPDX-License-Identifier: Apache-2.0
"""What a client tells LeRobot's server of the values and images that it will send.

It is the observation's part of LeRobot's description of a data set. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.shown import shown

_STATE = "observation.state"
_IMAGES = "observation.images."
_CHANNELS = ["height", "width", "channels"]
_MAX_SIDE = 1 << 16


@dataclass(frozen=True, slots=True)
class LeRobotFeatures:
    """What every observation will hold.

    Attributes:
        state: LeRobot's names of the values, in the order of the policy's state.
        cameras: Name of a camera to (H, W) of its images [px].
    """

    state: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]


def features_of(
    state: tuple[str, ...], cameras: Mapping[str, tuple[int, int]]
) -> dict[str, dict[str, Any]]:
    """The features of a robot as LeRobot's own client makes them of its robot.

    Args:
        state: LeRobot's names of the values, in the order of the policy's state.
        cameras: Name of a camera to (H, W) of its images [px].
    """
    values = {"dtype": "float32", "shape": (len(state),), "names": list(state)}
    images = {
        f"{_IMAGES}{name}": {"dtype": "image", "shape": (*size, 3), "names": list(_CHANNELS)}
        for name, size in cameras.items()
    }
    return {_STATE: values, **images}


def features_from(features: Mapping[str, Any]) -> LeRobotFeatures:
    """Read the features that a client sent.

    Raises:
        WireFormatError: A feature is neither the state nor a camera, or not described as such; the
            text names it.
    """
    if _STATE not in features:
        raise WireFormatError(f"the features must have {_STATE}; found {shown(list(features))}")
    state: tuple[str, ...] = ()
    cameras: dict[str, tuple[int, int]] = {}
    for key, feature in features.items():
        match feature:
            case {"dtype": "float32", "shape": [int(length)], "names": [*names]} if (
                key == _STATE and length == len(names) and all(type(n) is str for n in names)
            ):
                state = tuple(names)
            case {"dtype": "image" | "video", "shape": [int(height), int(width), 3]} if (
                key.startswith(_IMAGES) and 0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE
            ):
                cameras[key[len(_IMAGES) :]] = (height, width)
            case _:
                raise WireFormatError(
                    f"feature {shown(key)} must be {_STATE} (float32, a shape (D,) and D names)"
                    f" or {_IMAGES}<camera> (image, a shape (H, W, 3)); found {shown(feature)}"
                )
    if len(set(state)) != len(state):
        raise WireFormatError(f"the names of {_STATE} must differ; found {shown(state)}")
    return LeRobotFeatures(state, cameras)
