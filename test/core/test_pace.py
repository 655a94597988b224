# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.pace import Pace

DT = 0.02


def run(
    pace: Pace, count: int, *, scale: float = 1.0, soft_start_s: float = 0.0, moving: bool = True
) -> list[float]:
    return [
        pace.next(DT, scale=scale, soft_start_s=soft_start_s, moving=moving) for _ in range(count)
    ]


def test_without_a_soft_start_it_begins_at_full_speed() -> None:
    assert run(Pace(), 3) == [1.0, 1.0, 1.0]


def test_a_soft_start_takes_its_time_and_begins_with_the_movement() -> None:
    pace = Pace()
    run(pace, 50)
    pace.start()
    assert run(pace, 10, soft_start_s=0.4, moving=False) == [0.0] * 10
    speeds = run(pace, 30, soft_start_s=0.4)
    assert speeds[:19] == pytest.approx([0.05 * (index + 1) for index in range(19)])
    assert speeds[20:] == [1.0] * 10


def test_a_change_of_scale_is_a_ramp_of_a_quarter_of_a_second() -> None:
    pace = Pace()
    down = run(pace, 13, scale=0.0)
    assert down[5] == pytest.approx(1.0 - 6 * DT / 0.25)
    assert down[-1] == 0.0
    up = run(pace, 13, scale=1.0)
    assert up[-1] == 1.0
    assert up[0] == pytest.approx(DT / 0.25)


@given(
    st.lists(
        st.tuples(st.floats(0.005, 0.06), st.floats(0.0, 1.0), st.floats(0.0, 2.0), st.booleans()),
        max_size=40,
    )
)
def test_it_is_a_share_of_full_speed_and_never_more_than_is_wished_for(
    script: list[tuple[float, float, float, bool]],
) -> None:
    pace, ramp = Pace(), 1.0
    for dt, scale, soft_start_s, moving in script:
        speed = pace.next(dt, scale=scale, soft_start_s=soft_start_s, moving=moving)
        ramp = max(scale, ramp - dt / 0.25)
        assert 0.0 <= speed <= ramp + 1e-12
