# SPDX-License-Identifier: Apache-2.0
"""What a client of an ACT server sends: an observation, or a reset. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.pickle.arrays import NUMPY, pickled_array, unpickled
from vla_ros.wire.pickle.reader import read_pickle
from vla_ros.wire.pickle.writer import write_pickle
from vla_ros.wire.shown import shown

_RESET = "RESET"
RESET: bytes = write_pickle(_RESET)


@dataclass(frozen=True, slots=True, eq=False)
class ActObservation:
    """What the policy sees.

    Attributes:
        qpos: (D,) The state, in the policy's order and units; float32 or float64 on the wire.
        images: Camera, as the policy names it, to (H, W, 3) uint8 RGB.
    """

    qpos: NDArray[Any]
    images: Mapping[str, NDArray[Any]]


def encode_observation(observation: ActObservation) -> bytes:
    """An observation as a request.

    Raises:
        WireFormatError: An array is of a kind that cannot be sent.
    """
    images = {camera: pickled_array(image) for camera, image in observation.images.items()}
    return write_pickle({"qpos": pickled_array(observation.qpos), "images": images})


def decode_request(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> ActObservation | None:
    """The observation in a request; None: the request is a reset. Arrays are read-only.

    Which cameras and how many values there must be is left to who knows them. Other entries are
    passed over, as the original server does.

    Raises:
        WireFormatError: It is no request, or longer than allowed; the text names the entry.
    """
    value = read_pickle(data, NUMPY, max_bytes=max_bytes)
    if isinstance(value, str) and value == _RESET:
        return None
    match value:
        case {"qpos": qpos, "images": dict(images)}:
            return ActObservation(
                _qpos(unpickled(qpos)),
                {camera: _image(camera, unpickled(image)) for camera, image in images.items()},
            )
    raise WireFormatError(
        f"a request must be {_RESET!r}, or a dict with qpos (array) and images (dict);"
        f" found {shown(value)}"
    )


def _qpos(value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "fiu":
        raise WireFormatError(f"qpos must be an array (D,) of numbers; found {shown(value)}")
    return value


def _image(camera: str, value: Any) -> NDArray[np.uint8]:
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.dtype != np.uint8:
        raise WireFormatError(
            f"image {shown(camera)} must be an array (H, W, 3) uint8; found {shown(value)}"
        )
    return value
