# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.unitree.rewards import read_reward, read_task_name


@pytest.mark.parametrize(
    ("paid", "success", "failed"),
    [("1.0", True, False), ("0.6", False, False), ("0", False, False), ("-1.0", False, True)],
)
def test_a_reward_says_how_the_task_stands(paid: str, success: bool, failed: bool):
    reward = read_reward(f'{{"rewards": [{paid}], "timestamp": 1700000000.5}}')

    assert (reward.value, reward.success, reward.failed) == (float(paid), success, failed)


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "{}", "1", '{"rewards": []}', '{"rewards": ["x"]}', '{"rewards": [null]}'],
)
def test_anything_else_is_refused(text: str):
    with pytest.raises(DeviceError, match="the reward must be JSON such as"):
        read_reward(text)


def test_a_reward_is_a_number():
    with pytest.raises(DeviceError, match="must be finite, found nan"):
        read_reward('{"rewards": [NaN]}')


@given(st.text())
def test_nothing_else_is_raised(text: str):
    with pytest.raises(DeviceError):
        read_reward("{" + text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"init_state": "{}", "task_name": "Isaac-Stack"}', "Isaac-Stack"),
        ('{"init_state": "{}"}', ""),
        ('{"task_name": 3}', ""),
        ("[1]", ""),
        ("no JSON", ""),
    ],
)
def test_the_name_of_the_task_is_read_where_it_is_told(text: str, name: str) -> None:
    assert read_task_name(text) == name
