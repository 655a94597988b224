# SPDX-License-Identifier: Apache-2.0
"""A short fault run; ``make soak`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from test.system.fault_report import report_text
from test.system.fault_run import fault_run

DURATION_S = 80.0


@pytest.mark.slow
@pytest.mark.flaky(reruns=1)
@pytest.mark.timeout(300)
def test_whatever_goes_wrong_it_holds_for_a_reason_and_recovers(tmp_path: Path) -> None:
    outcome = fault_run(DURATION_S, seed=1, output=tmp_path)
    assert not outcome.problems, report_text(outcome)
    assert len(outcome.struck) >= 5
    assert outcome.commands > 100
