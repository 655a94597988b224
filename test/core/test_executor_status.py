# SPDX-License-Identifier: Apache-2.0
"""The status has a field for each field of the message that shows it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vla_ros.core.executor_status import ExecutorStatus

# What the node adds to the core's status, or spells as two parallel arrays.
NODE_FIELDS = {"header", "names", "missed_ticks", "hold_reasons"}


def test_the_message_shows_the_whole_status() -> None:
    text = (Path(__file__).parents[2] / "msg" / "ExecutorState.msg").read_text()
    lines = [line.split("#")[0].split() for line in text.splitlines() if "=" not in line]
    shown = {words[1] for words in lines if len(words) == 2}
    measured = {name for name in shown if "_ms" in name}
    status = {field.name for field in dataclasses.fields(ExecutorStatus)}
    assert shown - NODE_FIELDS - measured == status
