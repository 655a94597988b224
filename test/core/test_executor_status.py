# SPDX-License-Identifier: Apache-2.0
"""The status has a field for each field of the message that shows it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from test.core.bench import Bench
from vla_ros.core.executor_status import ExecutorStatus

# What the node adds to the core's status, or spells as two parallel arrays.
NODE_FIELDS = {
    "header", "names", "missed_ticks", "hold_reasons", "drop_kinds", "drop_counts",
}  # fmt: skip
# What is shown in milliseconds and by the name that the literature has.
IN_MS = {
    "latency_p50_s": "request_to_chunk_ms_p50",
    "latency_p95_s": "request_to_chunk_ms_p95",
    "latency_budget_s": "latency_budget_ms",
}
# It follows from the parameters.
NOT_SHOWN = {"chunk_s"}


def test_the_message_shows_the_whole_status() -> None:
    text = (Path(__file__).parents[2] / "msg" / "ExecutorState.msg").read_text()
    lines = [line.split("#")[0].split() for line in text.splitlines() if "=" not in line]
    shown = {words[1] for words in lines if len(words) == 2}
    assert set(IN_MS.values()) <= shown
    measured = {name for name in shown if "_ms" in name}
    status = {field.name for field in dataclasses.fields(ExecutorStatus)}
    assert shown - NODE_FIELDS - measured == status - set(IN_MS) - NOT_SHOWN


def test_its_state_is_the_mode_and_why() -> None:
    status = Bench().status
    assert status.state == "idle: starting"
    assert dataclasses.replace(status, mode="move", hold_reason="").state == "move"
