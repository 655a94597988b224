# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import pickle
from datetime import date
from fractions import Fraction
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.pickle.writer import Call, Global, Instance, Persistent, write_pickle

NAMESPACE = Global("types", "SimpleNamespace")

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**2000), 2**2000)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=300)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(trees)
def test_pickle_reads_what_is_written(tree: Any):
    read = pickle.loads(write_pickle(tree))

    assert read == tree
    assert repr(read) == repr(tree)  # so that True is not 1


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63, -(2**2030)])
def test_integers_of_any_size(number: int):
    assert pickle.loads(write_pickle(number)) == number


def test_golden_bytes():
    assert write_pickle({"a": (True, None), "b": [-1, 1.0]}) == bytes.fromhex(
        "8003 7d28 5801000000 61 28 88 4e 74"
        "5801000000 62 5d28 4affffffff 473ff0000000000000 65 75 2e"
    )
    assert write_pickle(Instance(Global("m", "C"), {})) == b"\x80\x03cm\nC\n)\x81}(ub."


def test_views_and_mappings_are_written():
    assert pickle.loads(write_pickle(memoryview(b"abc"))) == b"abc"
    assert pickle.loads(write_pickle(MappingProxyType({"a": 1}))) == {"a": 1}


def test_what_is_named_is_made_by_the_reader():
    assert pickle.loads(write_pickle(Global("fractions", "Fraction"))) is Fraction
    assert pickle.loads(write_pickle(Call(Global("datetime", "date"), (2026, 8, 23)))) == date(
        2026, 8, 23
    )
    made = pickle.loads(write_pickle(Instance(NAMESPACE, {"a": [1]})))
    assert made == SimpleNamespace(a=[1])
    told = pickle.loads(write_pickle(Call(NAMESPACE, (), ({}, {"a": 1}))))
    assert told == SimpleNamespace(a=1)


def test_what_is_persistent_is_asked_for():
    class Reader(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return ["loaded", pid]

    data = write_pickle(Persistent(("id", 3)))

    assert Reader(io.BytesIO(data)).load() == ["loaded", ("id", 3)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1, 2}, r"set \{1, 2\} cannot be sent"),
        ([object()], "object .* cannot be sent"),
        ({1: 2}, "int 1 cannot be sent as a key"),
        ("\ud800", "cannot be sent: .*surrogates"),
        (2**2040, "an integer of 256 bytes cannot be sent"),
    ],
)
def test_other_things_are_not_sent(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        write_pickle(value)
