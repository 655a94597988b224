# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from vla_ros.core import hold_reasons

REASONS = {value for name, value in vars(hold_reasons).items() if name.isupper()}


def test_every_reason_has_its_own_name() -> None:
    names = [name for name in vars(hold_reasons) if name.isupper()]
    assert len(names) == len(REASONS)


def test_the_message_uses_the_same_names() -> None:
    text = (Path(__file__).parents[2] / "msg" / "RequestFailure.msg").read_text()
    constants = [
        line.split("=")[1].split("#")[0].strip(' "')
        for line in text.splitlines()
        if line.startswith("string") and "=" in line
    ]
    assert constants
    assert set(constants) <= REASONS
