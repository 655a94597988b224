# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.yaml_file import load, parse


def test_a_file_is_read_and_named_in_its_errors(tmp_path: Path):
    path = tmp_path / "robot.yaml"
    path.write_text("name: ärmchen\n", encoding="utf-8")

    section = load(path)

    assert section.text("name") == "ärmchen"
    with refused(ConfigError, f"{path}: rate_hz: required number is missing", "present: name"):
        section.number("rate_hz")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"name: \xff\n", "can't decode byte 0xff")],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, problem: str):
    path = tmp_path / "robot.yaml"
    if content is not None:
        path.write_bytes(content)

    with refused(ConfigError, f"{path}: cannot be read: ", problem):
        load(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1, 2", "line 1, column 9: while parsing a flow sequence, expected ',' or ']'"),
        ("a: 1\n\tb: 2", "line 2, column 1: while scanning for the next token, found character"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: key 'a' stands twice"),
        ("a:\n  c: 1\n  c: 1", "line 3, column 3: key 'c' stands twice"),
        ("a: {7: x}", "line 1, column 5: key '7' is a int; a key must be a non-empty string"),
        ("on: x", "line 1, column 1: key 'on' is a bool; a key must be a non-empty string"),
        ("'': x", "line 1, column 1: key '' is a str; a key must be a non-empty string"),
        ("? [k]\n: x", "is a seq; a key must be a non-empty string"),
        ("a: &m {c: 1}\nb: {<<: *m}", "line 2, column 5: key '<<' is a merge; a key must be"),
        ("a: &m {c: *m}", "found unconstructable recursive node"),
        ("a: 1\n---\nb: 2", "expected a single document in the stream, but found another document"),
        ("a: !thing 1", "could not determine a constructor for the tag '!thing'"),
        ("a: !!python/object:os.system {}", "could not determine a constructor for the tag"),
        ("a: *b", "line 1, column 4: found undefined alias 'b'"),
        ("a: 2026-99-99", "month must be in 1..12"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_what_is_not_yaml_is_refused(text: str, problem: str):
    with refused(ConfigError, "robot.yaml: not valid YAML: ", problem):
        parse(text, source="robot.yaml")


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "nothing"), ("# only a comment", "nothing"), ("- a", "list of 1 ['a']"), ("7", "int 7")],
)
def test_the_top_level_is_a_mapping(text: str, found: str):
    with refused(ConfigError, f"robot.yaml: top level: must be a mapping, found {found}"):
        parse(text, source="robot.yaml")


@pytest.mark.parametrize("text", ["1e-3", "1.e-3", "1.0e-3", "+0.1E-2", "0.001"])
def test_a_number_may_be_written_with_an_exponent(text: str):
    assert parse(f"a: {text}", source="robot.yaml").number("a") == 0.001


@given(st.text(alphabet="ab:1-.[]{},&*?|>'\"# \n\t<", max_size=40))
def test_any_text_is_read_or_refused(text: str):
    with suppress(ConfigError):
        names = parse(text, source="robot.yaml").names
        assert all(isinstance(name, str) and name for name in names)
