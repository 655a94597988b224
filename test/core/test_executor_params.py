# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.core.blending import AGGREGATE_FNS
from vla_ros.core.errors import ConfigError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.params import build, describe


def test_names_and_meaning_are_those_that_users_know() -> None:
    infos = {info.name: info for info in describe(ExecutorParams)}
    assert {"actions_per_chunk", "chunk_size_threshold", "aggregate_fn"} <= set(infos)
    assert "larger asks earlier" in infos["chunk_size_threshold"].description
    assert infos["aggregate_fn"].choices == AGGREGATE_FNS
    assert infos["aggregate_fn"].default == "offset_decay"


def test_all_of_them_can_be_tuned_while_it_runs() -> None:
    assert not [info.name for info in describe(ExecutorParams) if info.read_only]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("control_rate_hz", 0.0),
        ("chunk_size_threshold", 1.5),
        ("actions_per_chunk", 0),
        ("aggregate_fn", "newest"),
        ("blend_steps", -1.0),
        ("request_timeout_s", 0.0),
        ("retry_interval_s", -0.1),
        ("position_margin", 2.0),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"executor: parameter '{name}' must be"):
        build(ExecutorParams, {name: value}, where="executor")
