# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import inf, nan
from typing import Any, Literal

import pytest

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, ParameterInfo, build, describe, param


@dataclass(frozen=True, slots=True)
class Params:
    host: str = param(REQUIRED, "Where the server is.", read_only=True)
    rate_hz: float = param(50.0, "Commands per second [Hz].", ge=1.0, le=1000.0)
    count: int = param(3, "How many.", ge=0)
    gain: float = param(1.0, "Any number.")
    on: bool = param(False, "Whether.")
    mode: Literal["fast", "slow"] = param("fast", "Which.")
    names: tuple[str, ...] = param((), "Whose.")

    def __post_init__(self) -> None:
        if self.mode == "slow" and self.rate_hz > 100.0:
            raise ConfigError(f"slow allows rate_hz up to 100, found {self.rate_hz}")


@dataclass(frozen=True, slots=True)
class NoParams:
    """Nothing to choose."""


def made(**values: Any) -> Params:
    return build(Params, {"host": "here", **values}, where="executor")


def test_parameters_are_described_in_order():
    infos = describe(Params)

    assert [info.name for info in infos] == [
        "host", "rate_hz", "count", "gain", "on", "mode", "names",
    ]  # fmt: skip
    assert infos[0] == ParameterInfo(
        "host", str, REQUIRED, "Where the server is.", -inf, inf, (), read_only=True
    )
    assert infos[1] == ParameterInfo(
        "rate_hz", float, 50.0, "Commands per second [Hz].", 1.0, 1000.0, (), read_only=False
    )
    assert [info.type for info in infos[2:]] == [int, float, bool, str, tuple]
    assert infos[5].choices == ("fast", "slow")
    assert describe(NoParams) == ()


@pytest.mark.parametrize(
    "hint", [list[str], dict, bytes, float | None, tuple, tuple[float, ...], Literal[1, 2]]
)
def test_a_field_of_another_type_is_refused(hint: Any):
    odd = dataclasses.make_dataclass("odd", [("x", hint, param(None, "Odd."))])

    with pytest.raises(TypeError, match="a parameter is one of bool, int, float, str, Literal"):
        describe(odd)


def test_what_is_not_given_takes_its_default():
    assert made() == Params("here", 50.0, 3, 1.0, on=False, mode="fast", names=())
    assert build(NoParams, {}, where="hold") == NoParams()


def test_what_is_given_is_taken():
    given = {"rate_hz": 20.0, "count": 0, "gain": -2.5, "on": True, "mode": "slow"}

    it = made(**given, names=["b", "a"])

    assert it == Params("here", **given, names=("b", "a"))
    assert made(names=("c",)).names == ("c",)


@pytest.mark.parametrize("value", [1, 1000])
def test_an_integer_is_taken_for_a_float(value: int):
    rate_hz = made(rate_hz=value).rate_hz

    assert rate_hz == value
    assert type(rate_hz) is float


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"rate": 1.0}, "unknown parameter 'rate'; known: host, rate_hz, count, gain, on, mode, n"),
        ({"host": 5}, "parameter 'host' must be a string, found int 5"),
        ({"host": None}, "parameter 'host' must be a string, found NoneType None"),
        ({"rate_hz": "50"}, "parameter 'rate_hz' must be a finite number, found str '50'"),
        ({"rate_hz": True}, "parameter 'rate_hz' must be a finite number, found bool True"),
        ({"rate_hz": 0.5}, "parameter 'rate_hz' must be in [1, 1000], found 0.5"),
        ({"rate_hz": 1001}, "parameter 'rate_hz' must be in [1, 1000], found 1001.0"),
        ({"gain": nan}, "parameter 'gain' must be a finite number, found float nan"),
        ({"gain": inf}, "parameter 'gain' must be a finite number, found float inf"),
        ({"gain": 10**400}, "parameter 'gain' must be a finite number, found int 1000"),
        ({"count": 1.0}, "parameter 'count' must be an integer, found float 1.0"),
        ({"count": True}, "parameter 'count' must be an integer, found bool True"),
        ({"count": -1}, "parameter 'count' must be in [0, inf], found -1"),
        ({"on": 1}, "parameter 'on' must be true or false, found int 1"),
        ({"mode": "medium"}, "parameter 'mode' must be one of fast, slow; found 'medium'"),
        ({"mode": 1}, "parameter 'mode' must be a string, found int 1"),
        ({"names": "a"}, "parameter 'names' must be a list of strings, found str 'a'"),
        ({"names": ["a", 1]}, "parameter 'names' must be a list of strings, found tuple ('a', 1)"),
    ],
)
def test_a_bad_value_is_refused(values: dict[str, Any], problem: str):
    with refused(ConfigError, f"executor: {problem}"):
        made(**values)


def test_a_huge_integer_is_an_integer():
    assert made(count=10**400).count == 10**400


def test_what_is_required_must_be_given():
    with refused(ConfigError, "executor: parameter 'host' is required; given: none"):
        build(Params, {}, where="executor")
    with refused(ConfigError, "executor: parameter 'host' is required; given: count, gain"):
        build(Params, {"count": 1, "gain": 2.0}, where="executor")


def test_a_class_without_parameters_knows_none():
    with refused(ConfigError, "hold: unknown parameter 'x'; known: none"):
        build(NoParams, {"x": 1}, where="hold")


def test_a_combination_that_the_class_refuses_is_refused():
    with refused(ConfigError, "slow allows rate_hz up to 100, found 200.0"):
        made(mode="slow", rate_hz=200.0)


def test_a_default_out_of_range_is_refused():
    odd = dataclasses.make_dataclass("odd", [("x", float, param(5.0, "Odd.", le=1.0))])

    with refused(ConfigError, "here: parameter 'x' must be in [-inf, 1], found 5.0"):
        build(odd, {}, where="here")
