# SPDX-License-Identifier: Apache-2.0
"""What LeRobot's policy server answers: a chunk of actions. Pure; any thread may call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.timed_data import HELPERS, moment_of
from vla_ros.wire.lerobot.torch_pickle import Tensors, pickled_tensor
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.pickle.reader import Record, read_pickle
from vla_ros.wire.pickle.writer import Global, Instance, write_pickle
from vla_ros.wire.shown import shown

_TIMED_ACTION = Global(HELPERS, "TimedAction")


@dataclass(frozen=True, slots=True)
class TimedActions:
    """A chunk.

    Attributes:
        timestamps: (H,) float64, when each action is to be executed by the client's clock [s],
            counted from the observation's in steps of the server's.
        timesteps: (H,) int64, the step of each action, counted from the observation's.
        actions: (H, D) float32 or float64, in the robot's units.
    """

    timestamps: NDArray[np.float64]
    timesteps: NDArray[np.int64]
    actions: NDArray[np.floating[Any]]


def encode_actions(chunk: TimedActions) -> bytes:
    """The data of the answer to ``GET_ACTIONS``, to be wrapped by ``protobuf.encode_data``.

    Raises:
        WireFormatError: The actions are neither float32 nor float64.
    """
    moments = zip(chunk.timestamps.tolist(), chunk.timesteps.tolist(), chunk.actions, strict=True)
    return write_pickle(
        [
            Instance(
                _TIMED_ACTION,
                {"timestamp": timestamp, "timestep": timestep, "action": pickled_tensor(action)},
            )
            for timestamp, timestep, action in moments
        ]
    )


def decode_actions(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> TimedActions:
    """The chunk in the data of an answer, which must not be empty.

    float64 stays; half, bfloat16 and small integers become float32, larger integers float64.

    Raises:
        WireFormatError: It is no chunk, or longer than allowed; the text names the action.
    """
    allowed = {_TIMED_ACTION: Record, **Tensors(max_bytes).allowed}
    records = read_pickle(data, allowed, max_bytes=max_bytes)
    if not isinstance(records, list) or not records:
        raise WireFormatError(f"the actions must be a list of 1 or more; found {shown(records)}")
    moments = []
    rows: list[NDArray[Any]] = []
    for index, record in enumerate(records):
        timestamp, timestep, fields = moment_of(record, f"{_TIMED_ACTION.name} ({index})")
        rows.append(_row(index, fields.get("action"), rows))
        moments.append((timestamp, timestep))
    if sum(row.nbytes for row in rows) > max_bytes:
        raise WireFormatError(f"the actions are longer than {max_bytes} bytes")
    timestamps, timesteps = zip(*moments, strict=True)
    actions = np.stack(rows)
    return TimedActions(
        np.array(timestamps, np.float64),
        np.array(timesteps, np.int64),
        actions.astype(np.result_type(actions.dtype, np.float32)),
    )


def _row(index: int, action: Any, rows: list[NDArray[Any]]) -> NDArray[Any]:
    """One action, which must be of the same kind as the first."""
    first = rows[0] if rows else action
    if (
        not isinstance(action, np.ndarray)
        or action.ndim != 1
        or (action.shape, action.dtype) != (first.shape, first.dtype)
    ):
        raise WireFormatError(
            f"action {index} must be a tensor (D,) as the others; found {shown(action)}"
        )
    return action
