# SPDX-License-Identifier: Apache-2.0
"""What LeRobot's observations and actions have in common: a moment. Pure; any thread may call."""

from __future__ import annotations

from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.pickle.reader import Record
from vla_ros.wire.shown import shown

# Where LeRobot has the classes that it sends.
HELPERS = "lerobot.async_inference.helpers"
# Steps are counted from 0; no robot works this long, and sums of them stay exact.
MAX_TIMESTEP = 1 << 53


def moment_of(value: Any, what: str) -> tuple[float, int, dict[str, Any]]:
    """The timestamp [s] and the timestep of what was sent, and all its fields.

    Args:
        value: What was read.
        what: The name of its class, for errors.

    Raises:
        WireFormatError: It is no record with both.
    """
    match value:
        case Record(fields={"timestamp": float(timestamp), "timestep": int(timestep)}) if (
            0 <= timestep <= MAX_TIMESTEP
        ):
            return timestamp, timestep, value.fields
    raise WireFormatError(
        f"a {what} must have a timestamp (float) and a timestep (0 to {MAX_TIMESTEP});"
        f" found {shown(value.fields if isinstance(value, Record) else value)}"
    )
