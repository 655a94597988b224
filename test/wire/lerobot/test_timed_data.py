# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.timed_data import MAX_TIMESTEP, moment_of
from vla_ros.wire.pickle.reader import Record


def record(**fields: Any) -> Record:
    made = Record(())
    made.build(fields)
    return made


@pytest.mark.parametrize("timestep", [0, 7, MAX_TIMESTEP])
def test_a_moment_is_read(timestep: int):
    fields = {"timestamp": 1.5, "timestep": timestep, "more": "x"}

    assert moment_of(record(**fields), "TimedThing") == (1.5, timestep, fields)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"timestamp": 1.5, "timestep": 3},
        record(),
        record(timestamp=1.5),
        record(timestep=3),
        record(timestamp="1.5", timestep=3),
        record(timestamp=1.5, timestep=3.0),
        record(timestamp=1.5, timestep=-1),
        record(timestamp=1.5, timestep=MAX_TIMESTEP + 1),
    ],
)
def test_anything_else_is_refused(value: Any):
    with pytest.raises(WireFormatError, match=r"^a TimedThing must have .* timestep \(0 to \d+\)"):
        moment_of(value, "TimedThing")
