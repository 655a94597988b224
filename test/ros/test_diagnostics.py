# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from test.ros.harness import Domain
from vla_ros.ros.diagnostics import TOPIC, Diagnostics, Level, Status
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT


class Parts:
    """What a node would say."""

    def __init__(self) -> None:
        self.now = [Status("lens", Level.OK, "is clean", {"age_s": "0.1"})]

    def __call__(self) -> list[Status]:
        return self.now


@pytest.fixture
def parts(domain: Domain) -> Iterator[Parts]:
    node = domain.add(lambda **kwargs: LifecycleBase("eye", namespace="/robot", **kwargs))
    parts = Parts()
    with contextlib.ExitStack() as undo:
        Diagnostics(node, undo, parts)
        yield parts


def test_a_report_names_node_part_level_message_and_values(domain: Domain, parts: Parts):
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)
    domain.spin_until(lambda: reports, "a report")

    [status] = reports[0].status
    assert (status.name, status.level) == ("/robot/eye: lens", DiagnosticStatus.OK)
    assert status.message == "is clean"
    assert [(value.key, value.value) for value in status.values] == [("age_s", "0.1")]
    assert reports[0].header.stamp.sec > 0


def test_once_a_second_and_at_once_on_a_change(domain: Domain, parts: Parts):
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)
    domain.spin_until(lambda: reports, "a report")
    first = time.monotonic()
    domain.spin_until(lambda: len(reports) > 1, "the next report")
    assert time.monotonic() - first > 0.5

    changed = time.monotonic()
    parts.now = [Status("lens", Level.ERROR, "is covered")]
    domain.spin_until(lambda: len(reports) > 2, "the change")
    assert time.monotonic() - changed < 0.5
    assert reports[-1].status[0].level == DiagnosticStatus.ERROR


def test_a_value_alone_is_no_change(domain: Domain, parts: Parts):
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)
    domain.spin_until(lambda: reports, "a report")
    count = len(reports)

    parts.now = [Status("lens", Level.OK, "is clean", {"age_s": "0.2"})]
    domain.spin_for(0.4)

    assert len(reports) == count
