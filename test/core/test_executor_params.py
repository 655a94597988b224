# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from test.core.refusals import refused
from vla_ros.core.aggregates import AGGREGATE_FNS
from vla_ros.core.errors import ConfigError
from vla_ros.core.executor_params import ExecutorParams, Patience
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
        ("blend_steps", 0.0),
        ("scheduling", "later"),
        ("interpolation", "quintic"),
        ("speed_scale", 1.5),
        ("request_timeout_s", 0.0),
        ("retry_interval_s", -0.1),
        ("position_margin", 2.0),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"executor: parameter '{name}' must be"):
        build(ExecutorParams, {name: value}, where="executor")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (("g/position",), "'g/position' must be interface=aggregate_fn, with one of offset_decay,"),
        (("g/position=newest",), "'g/position=newest' must be interface=aggregate_fn"),
        (("g/p=average", "g/p=latest_only"), "g/p stands there more than once"),
    ],
)
def test_a_bad_override_is_refused(overrides: tuple[str, ...], problem: str) -> None:
    with refused(ConfigError, "aggregate_overrides: ", problem):
        ExecutorParams(aggregate_overrides=overrides)


def test_overrides_hold_for_their_interface_alone() -> None:
    params = ExecutorParams(aggregate_overrides=("b/position=latest_only",))
    assert params.functions(("a/position", "b/position")) == ("offset_decay", "latest_only")
    with refused(ConfigError, "b/position is not commanded by the policy", "commands a/position"):
        params.functions(("a/position",))


def test_a_synchronous_horizon_shortens_chunks() -> None:
    given = {"actions_per_chunk": 30, "execution_horizon": 8}
    assert build(ExecutorParams, given, where="executor").chunk_length == 30
    assert build(ExecutorParams, {**given, "scheduling": "sync"}, where="").chunk_length == 8
    assert ExecutorParams(scheduling="sync", actions_per_chunk=30).chunk_length == 30
    assert ExecutorParams(scheduling="sync", execution_horizon=99).chunk_length == 50


def test_patience_is_what_the_scheduler_needs() -> None:
    params = ExecutorParams(request_timeout_s=3.0, repeat_factor=5.0, retry_interval_s=0.2)
    assert params.patience == Patience(3.0, 5.0, 0.2)
