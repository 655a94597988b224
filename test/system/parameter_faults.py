# SPDX-License-Identifier: Apache-2.0
"""The executor's parameters, changed while it moves: to what they may be, and may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from test.system.faulty_ring import FaultyRing
from vla_ros.core.aggregates import AGGREGATE_FNS
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.params import ParameterInfo, describe
from vla_ros.filters.registry import filter_names

PARAMETERS = len(describe(ExecutorParams))


def parameters_changed(count: int) -> Callable[[FaultyRing], AbstractContextManager[None]]:
    """So many parameters have other values meanwhile."""

    @contextmanager
    def strike(ring: FaultyRing) -> Iterator[None]:
        chosen = ring.random.sample(describe(ExecutorParams), count)
        values = {info.name: _drawn(ring, info) for info in chosen}
        before = {name: ring.domain.get_parameter("executor", name) for name in values}
        ring.note(" ".join(f"{name}={value}" for name, value in values.items()))
        answer = ring.set_parameters(values)
        assert answer.successful, answer.reason
        yield
        answer = ring.set_parameters({name: _plain(value) for name, value in before.items()})
        assert answer.successful, answer.reason

    return strike


def _drawn(ring: FaultyRing, info: ParameterInfo) -> Any:
    """A value that the parameter may have; its bounds are as likely as all between them."""
    draw = ring.random
    if info.name in _CHOSEN:
        return _CHOSEN[info.name](ring)
    if info.choices:
        return draw.choice(info.choices)
    if info.type is bool:
        return draw.random() < 0.5
    share = draw.choice([0.0, 1.0, 10.0 ** draw.uniform(-4.0, 0.0), draw.random()])
    return info.type(info.ge + (info.le - info.ge) * share)


def _some_filters(ring: FaultyRing) -> tuple[str, ...]:
    names = filter_names()
    return tuple(ring.random.sample(names, ring.random.randint(0, len(names))))


def _an_override(ring: FaultyRing) -> tuple[str, ...]:
    return (f"{ring.random.choice(ring.policy.action_names)}={ring.random.choice(AGGREGATE_FNS)}",)


_CHOSEN: dict[str, Callable[[FaultyRing], Any]] = {
    # A machine may be too slow for more, and less says nothing.
    "control_rate_hz": lambda ring: ring.random.choice([10.0, 30.0, 100.0, 200.0]),
    # A pause that has begun lasts as long as was said then.
    "retry_interval_s": lambda ring: ring.random.uniform(0.0, 2.0),
    "filters": _some_filters,
    "aggregate_overrides": _an_override,
}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@contextmanager
def bad_parameters(ring: FaultyRing) -> Iterator[None]:
    """Each parameter is told what it cannot be, beside a good value for another one."""
    infos = {info.name: info for info in describe(ExecutorParams)}
    for name in ring.random.sample(sorted(infos), 6):
        info = infos[name]
        if info.type is tuple:
            bad: Any = ("nothing",)
        elif info.type is str:
            bad = "nothing"
        elif info.type is bool:
            bad = "true"
        else:
            bad = ring.random.choice([info.ge - 1, info.le + 1, float("nan"), "1"])
        other = ring.random.choice([it for it in sorted(infos) if it != name])
        before = ring.domain.get_parameter("executor", other)
        answer = ring.set_parameters({other: _drawn(ring, infos[other]), name: bad})
        assert not answer.successful, f"{name} = {bad!r} was taken"
        assert answer.reason, f"{name} = {bad!r} was refused without a word"
        assert ring.domain.get_parameter("executor", other) == before, other
    yield
