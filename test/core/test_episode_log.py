# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.errors import ConfigError

numbers = st.floats(allow_nan=False, width=64)


@given(st.lists(st.tuples(st.integers(0, 2**62), numbers, numbers), min_size=1, max_size=20))
def test_a_log_survives_its_file(samples: list[tuple[int, float, float]]) -> None:
    log = EpisodeLog({"seed": 3, "success": True, "names": ["a", "b"]})
    for stamp, first, second in samples:
        log.add("command", stamp, [first, second])
    log.add("queue", 7, 2.5)
    file = io.BytesIO()
    np.savez(file, **log.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = EpisodeLog.from_arrays(arrays)
    assert again.facts == log.facts
    for series in ("command", "queue"):
        assert again.stamps(series).tolist() == log.stamps(series).tolist()
        assert again.values(series).tolist() == log.values(series).tolist()


def test_a_sample_is_kept_as_it_was() -> None:
    log, values = EpisodeLog(), np.zeros(2)
    log.add("command", 1, values)
    values += 1.0
    assert log.values("command").tolist() == [[0.0, 0.0]]


def test_a_series_that_never_was_is_empty() -> None:
    log = EpisodeLog()
    assert log.stamps("command").shape == (0,)
    assert log.values("command").shape == (0, 0)


def test_a_family_of_series_tells_its_kinds() -> None:
    log = EpisodeLog()
    for name in ("hold.starved", "hold.stale_camera", "holder", "queue"):
        log.add(name, 1, 0.0)
    assert log.kinds("hold") == ("starved", "stale_camera")
    assert log.kinds("failure") == ()


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no 'facts'"):
        EpisodeLog.from_arrays({"action": np.zeros(3)})
    with pytest.raises(ConfigError, match="series 'command' has no stamps of its own"):
        EpisodeLog.from_arrays({"facts": np.array("{}"), "command": np.zeros((3, 2))})
    stamps = np.zeros(2, dtype=np.int64)
    arrays = {"facts": np.array("{}"), "command": np.zeros((3, 2)), "command_ns": stamps}
    with pytest.raises(ConfigError, match="series 'command'"):
        EpisodeLog.from_arrays(arrays)
