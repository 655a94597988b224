# SPDX-License-Identifier: Apache-2.0
"""What a client of LeRobot's policy server shows it. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.timed_data import HELPERS, moment_of
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.pickle.arrays import NUMPY, pickled_array, unpickled
from vla_ros.wire.pickle.machine import Allowed
from vla_ros.wire.pickle.reader import Record, read_pickle
from vla_ros.wire.pickle.writer import Global, Instance, write_pickle
from vla_ros.wire.shown import shown

# LeRobot's key of the instruction.
TASK = "task"
_TIMED_OBSERVATION = Global(HELPERS, "TimedObservation")
_ALLOWED: Allowed = {_TIMED_OBSERVATION: Record, **NUMPY}

Value = float | str | NDArray[Any]


@dataclass(frozen=True, slots=True)
class TimedObservation:
    """An observation.

    Attributes:
        timestamp: When it was made, on the client's clock [s]; the actions' begin there.
        timestep: The step of the first action.
        values: Each value of the state by its name (float), each image (H, W, 3) uint8 RGB by its
            camera's name, and the instruction as ``task``.
        must_go: Whether it is to be answered, though it be like the last one.
    """

    timestamp: float
    timestep: int
    values: Mapping[str, Value]
    must_go: bool


def encode_observation(observation: TimedObservation) -> bytes:
    """The data of ``SEND_OBSERVATIONS``, to be cut by ``protobuf.observation_parts``.

    Raises:
        WireFormatError: It holds what cannot be sent.
    """
    values = {key: _pickled(value) for key, value in observation.values.items()}
    fields = {
        "timestamp": float(observation.timestamp),
        "timestep": int(observation.timestep),
        "observation": values,
        "must_go": observation.must_go,
    }
    return write_pickle(Instance(_TIMED_OBSERVATION, fields))


def decode_observation(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> TimedObservation:
    """The observation in the joined data of ``SEND_OBSERVATIONS``. Arrays are read-only.

    Which values there must be is left to who knows them. Numbers of any type become float.

    Raises:
        WireFormatError: It is no observation, or longer than allowed; the text names the value.
    """
    record = read_pickle(data, _ALLOWED, max_bytes=max_bytes)
    timestamp, timestep, fields = moment_of(record, _TIMED_OBSERVATION.name)
    match fields:
        case {"observation": dict(values), "must_go": bool(must_go)}:
            seen = {key: _value(key, value) for key, value in values.items()}
            return TimedObservation(timestamp, timestep, seen, must_go)
    raise WireFormatError(
        f"a {_TIMED_OBSERVATION.name} must have an observation (dict) and must_go (bool); found"
        f" {shown(fields)}"
    )


def _pickled(value: Value) -> Any:
    if isinstance(value, np.ndarray):
        return pickled_array(value)
    return float(value) if isinstance(value, float) else value


def _value(key: str, value: Any) -> Value:
    meant = unpickled(value)
    if isinstance(meant, (str, np.ndarray)):
        return meant
    if isinstance(meant, (float, int)):
        try:
            return float(meant)
        except OverflowError as error:
            raise WireFormatError(f"observation {key!r} is too large: {error}") from error
    raise WireFormatError(
        f"observation {key!r} must be a number, a text or an array; found {shown(value)}"
    )
