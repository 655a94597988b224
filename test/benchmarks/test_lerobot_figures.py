# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lerobot.figures import Figures, interval_figures, stock_figures, table


def test_a_loop_is_judged_by_its_intervals_after_the_start():
    ticks_s = np.cumsum([0.0, *[0.5] * 4, *[1.0 / 30.0] * 60, 0.04, *[1.0 / 30.0] * 39])
    found = interval_figures(ticks_s)
    assert found["interval_p50_ms"] == pytest.approx(1e3 / 30.0)
    assert found["error_worst_ms"] == pytest.approx(40.0 - 1e3 / 30.0)
    assert found["rate_hz"] == pytest.approx(30.0, abs=0.1)


def test_what_the_client_wrote_is_counted(tmp_path: Path):
    path = tmp_path / "stock.json"
    facts = {
        "ticks_s": list(np.arange(120) / 30.0),
        "steps": [0, 1, 2, 2, 3, 6, 5],
        "starved": 4,
        "sent": 30,
        "chunks": 10,
    }
    path.write_text(json.dumps(facts))
    found = stock_figures(path)
    assert (found.steps_twice, found.steps_skipped, found.starved_ticks) == (2, 2, 4)
    assert (found.observations_per_chunk, found.chunks) == (3.0, 10)
    assert found.rate_hz == pytest.approx(30.0)


def test_the_table_has_a_row_for_each_run():
    figures = Figures(30.0, 33.3, 0.5, 1.0, 1.0, 12, 0, 0, 0)
    lines = table({"a": figures, "b": figures}).splitlines()
    assert lines[0].startswith("| run | rate hz | interval p50 ms |")
    assert lines[2] == "| a | 30.00 | 33.30 | 0.50 | 1.00 | 1.00 | 12 | 0 | 0 | 0 |"
    assert len(lines) == 4
