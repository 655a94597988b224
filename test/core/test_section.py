# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.section import Section, repeated


def section(**data: Any) -> Section:
    return Section(data, source="robot.yaml", path="")


def test_the_source_and_the_keys_are_known():
    it = section(b=1, a=2)

    assert (it.source, it.names) == ("robot.yaml", ("b", "a"))


def test_errors_name_the_path():
    inner = section(cameras={"front": {}}).section("cameras").section("front")

    assert str(inner.error("is bad")) == "robot.yaml: cameras.front: is bad"
    assert str(inner.error("is bad", "topic")) == "robot.yaml: cameras.front.topic: is bad"
    assert str(section().error("is bad")) == "robot.yaml: top level: is bad"


@pytest.mark.parametrize("data", [None, 3, "text", ["a"]])
def test_a_section_is_a_mapping(data: object):
    with refused(ConfigError, "robot.yaml: cameras: must be a mapping, found "):
        section(cameras=data).section("cameras")


@pytest.mark.parametrize(
    ("take", "kind"),
    [
        (lambda it: it.text("x"), "string"),
        (lambda it: it.choice("x", "a"), "string"),
        (lambda it: it.number("x"), "number"),
        (lambda it: it.integer("x", minimum=0, maximum=1), "integer"),
        (lambda it: it.integers("x", minimum=0, maximum=1), "list"),
        (lambda it: it.texts("x"), "list"),
        (lambda it: it.numbers("x", length=1), "list"),
        (lambda it: it.section("x"), "mapping"),
        (lambda it: it.entry("x", lambda _: None), "mapping"),
        (lambda it: it.entries("x", lambda _: None), "mapping"),
    ],
)
def test_a_missing_key_is_refused(take: Any, kind: str):
    with refused(ConfigError, f"robot.yaml: x: required {kind} is missing (keys present: none)"):
        take(section())
    with refused(ConfigError, f"robot.yaml: x: required {kind} is missing (keys present: y, z)"):
        take(section(y=1, z=2))


def test_text():
    assert section(x="a b").text("x") == "a b"


@pytest.mark.parametrize(
    ("value", "found"),
    [("", "str ''"), (None, "nothing"), (True, "bool True"), (5, "int 5"), (["a"], "list of 1")],
)
def test_a_bad_text_is_refused(value: object, found: str):
    with refused(ConfigError, "robot.yaml: x: must be a non-empty string", f"found {found}"):
        section(x=value).text("x")


def test_a_long_value_is_cut_in_errors():
    with refused(ConfigError, f"found list of 100 [{'7, ' * 18}77..."):
        section(x=[7] * 18 + [77777777] * 82).text("x")


def test_choice():
    assert section(x="raw").choice("x", "raw", "compressed") == "raw"
    assert section(x="compressed").choice("x", "raw", "compressed") == "compressed"


@pytest.mark.parametrize(
    ("value", "found"), [("Raw", "str 'Raw'"), (False, "bool False"), (["raw"], "list of 1")]
)
def test_a_bad_choice_is_refused(value: object, found: str):
    with refused(ConfigError, f"robot.yaml: x: must be one of raw, compressed; found {found}"):
        section(x=value).choice("x", "raw", "compressed")


@pytest.mark.parametrize(("value", "number"), [(2, 2.0), (-0.5, -0.5), (10**300, 1e300)])
def test_number(value: float, number: float):
    taken = section(x=value).number("x")

    assert taken == number
    assert type(taken) is float


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (nan, "float nan"),
        (inf, "float inf"),
        (-inf, "float -inf"),
        (10**400, "int 1000"),
        ("1", "str '1'"),
        (True, "bool True"),
        (None, "nothing"),
        ([1.0], "list of 1 [1.0]"),
    ],
)
def test_what_is_not_a_finite_number_is_refused(value: object, found: str):
    with refused(ConfigError, f"robot.yaml: x: must be a finite number, found {found}"):
        section(x=value).number("x")
    with refused(ConfigError, f"robot.yaml: x: must hold finite numbers, found {found}"):
        section(x=[0.0, value]).numbers("x", length=2)


@pytest.mark.parametrize(
    ("value", "bounds", "allowed"),
    [
        (-0.5, {"minimum": 0.0}, ">= 0"),
        (1.5, {"maximum": 1.0}, "<= 1"),
        (1.0000001, {"minimum": 0.0, "maximum": 1.0}, ">= 0 and <= 1"),
        (0, {"above": 0.0}, "> 0"),
        (4.0, {"above": 0.0, "maximum": 3.0}, "> 0 and <= 3"),
    ],
)
def test_a_number_out_of_range_is_refused(value: float, bounds: dict[str, float], allowed: str):
    with refused(ConfigError, f"robot.yaml: x: must be {allowed}, found {float(value)}"):
        section(x=value).number("x", **bounds)


def test_the_ends_of_a_range_are_in_it():
    assert section(x=0).number("x", minimum=0.0, maximum=1.0) == 0.0
    assert section(x=1).number("x", minimum=0.0, above=0.0, maximum=1.0) == 1.0
    assert section(x=1).integer("x", minimum=1, maximum=1) == 1


@pytest.mark.parametrize(
    ("value", "found"),
    [(1.0, "float 1.0"), (True, "bool True"), ("1", "str '1'"), (None, "nothing")],
)
def test_what_is_not_an_integer_is_refused(value: object, found: str):
    with refused(ConfigError, f"robot.yaml: x: must be an integer, found {found}"):
        section(x=value).integer("x", minimum=0, maximum=9)


@pytest.mark.parametrize("value", [-1, 10])
def test_an_integer_out_of_range_is_refused(value: int):
    with refused(ConfigError, f"robot.yaml: x: must be in [0, 9], found {value}"):
        section(x=value).integer("x", minimum=0, maximum=9)


def test_texts():
    assert section(x=["b", "a"]).texts("x") == ("b", "a")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "must be a non-empty list of strings, found list of 0 []"),
        ("a", "must be a non-empty list of strings, found str 'a'"),
        (["a", 1], "must hold non-empty strings, found int 1"),
        (["a", ""], "must hold non-empty strings, found str ''"),
        (["a", "b", "a"], "must be distinct, found 'a' more than once"),
    ],
)
def test_bad_texts_are_refused(value: object, problem: str):
    with refused(ConfigError, f"robot.yaml: x: {problem}"):
        section(x=value).texts("x")


def test_numbers():
    assert section(x=[1, 2.5]).numbers("x", length=2) == (1.0, 2.5)


@pytest.mark.parametrize(
    ("value", "found"), [([1.0], "list of 1 [1.0]"), ([1, 2, 3], "list of 3"), (1.0, "float 1.0")]
)
def test_numbers_of_another_length_are_refused(value: object, found: str):
    with refused(ConfigError, f"robot.yaml: x: must be a list of 2 numbers, found {found}"):
        section(x=value).numbers("x", length=2)


def test_scales_are_numbers_of_which_none_is_zero():
    assert section(x=[1, -2.5]).scales("x", length=2) == (1.0, -2.5)
    with refused(ConfigError, "robot.yaml: x: must not hold zero, found [1.0, 0.0]"):
        section(x=[1, 0]).scales("x", length=2)


def test_an_entry_is_read():
    it = section(rate={"hz": 2})

    assert it.entry("rate", lambda one: one.number("hz")) == 2.0
    it.finish()


def test_entries_keep_the_order_of_the_file():
    it = section(rates={"b": {"hz": 2}, "a": {"hz": 1}})

    assert list(it.entries("rates", lambda one: one.number("hz")).items()) == [("b", 2), ("a", 1)]
    assert section(rates={}).entries("rates", lambda one: one.number("hz")) == {}


def test_what_an_entry_is_not_asked_for_is_refused():
    it = section(rates={"a": {"hz": 1, "khz": 2}})

    with refused(ConfigError, "robot.yaml: rates.a.khz: unknown key (known here: hz)"):
        it.entries("rates", lambda one: one.number("hz"))
    with refused(ConfigError, "robot.yaml: rates.a: unknown key (known here: none)"):
        it.entry("rates", lambda _: None)


def test_an_entry_is_a_mapping():
    with refused(ConfigError, "robot.yaml: rates.a: must be a mapping, found int 7"):
        section(rates={"a": 7}).entries("rates", lambda one: one.number("hz"))


def test_finish_passes_when_all_is_taken():
    it = section(x="a", z="b")

    assert (it.text("x"), it.has("y"), it.has("z"), it.text("z")) == ("a", False, True, "b")
    it.finish()


def test_finish_refuses_what_nobody_took_and_lists_what_is_known():
    it = section(x="a", geometri="b")
    it.text("x")
    it.has("geometry")

    with refused(ConfigError, "robot.yaml: geometri: unknown key (known here: geometry, x)"):
        it.finish()
    with refused(ConfigError, "robot.yaml: y: unknown key (known here: none)"):
        section(y=1).finish()


def test_repeated():
    assert repeated(iter("abcbacb")) == ("a", "b", "c")
    assert repeated("abc") == ()


def test_integers():
    assert section(x=[3, -1, 3]).integers("x", minimum=-1, maximum=3) == (3, -1, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "must be a non-empty list of integers, found list of 0 []"),
        (3, "must be a non-empty list of integers, found int 3"),
        ([1, True], "must hold integers in [0, 3], found bool True"),
        ([1, 2.0], "must hold integers in [0, 3], found float 2.0"),
        ([4], "must hold integers in [0, 3], found int 4"),
    ],
)
def test_what_is_no_list_of_integers_is_refused(value: object, text: str):
    with refused(ConfigError, f"robot.yaml: x: {text}"):
        section(x=value).integers("x", minimum=0, maximum=3)
