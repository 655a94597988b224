# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.pickle.machine import Buildable, PickleMachine
from vla_ros.wire.pickle.reader import Record
from vla_ros.wire.pickle.writer import Global


def machine(data: bytes = b"", **allowed: Any) -> PickleMachine:
    return PickleMachine(data, 0, {("m", name): maker for name, maker in allowed.items()}, None)


def test_bytes_are_taken_in_turn():
    work = machine(b"ab\ncd")

    assert work.take_line() == b"ab"
    assert work.take(1) == b"c"
    assert work.position == 4
    with pytest.raises(WireFormatError, match="byte 4: 2 bytes are claimed, 1 are there"):
        work.take(2)


def test_nothing_below_a_mark_is_reached():
    work = machine()
    work.push(1)
    work.mark()
    with pytest.raises(WireFormatError, match="a value is missing"):
        work.pop()
    work.push(2)
    work.push(3)

    assert work.pop_marked() == [2, 3]
    assert work.pop() == 1


def test_memory_is_by_number_however_large():
    work = machine()
    work.push("x")
    work.put(2**32 - 1)
    work.put_next()
    work.get(1)
    work.get(2**32 - 1)

    assert [work.pop(), work.pop(), work.pop()] == ["x", "x", "x"]


def test_keys_are_texts():
    work = machine()
    work.push({})
    work.set_items(["x", 1, "y", 2])
    for key in ((), 1, None):
        with pytest.raises(WireFormatError, match="a dict must have texts as keys"):
            work.set_items([key, 1])

    assert work.pop() == {"x": 1, "y": 2}


def test_texts_are_short():
    assert machine().text(b"x" * 65536) == "x" * 65536
    with pytest.raises(WireFormatError, match="a text has 65537 bytes; at most 65536 are allowed"):
        machine().text(b"x" * 65537)


def test_what_is_named_is_only_a_name():
    work = machine(C=Record)
    work.name("m", "C")
    assert work.top(Global) == ("m", "C")
    work.push(())
    work.call()
    work.push({"a": 1})
    work.build()
    assert work.pop().fields == {"a": 1}
    for module, name in (("os", "system"), ("m", "D"), (b"m", "C"), ("m", [])):
        with pytest.raises(WireFormatError, match=r"is refused; allowed: m\.C"):
            work.name(module, name)


def test_a_record_can_be_told_a_state():
    assert isinstance(Record(()), Buildable)
    assert not isinstance({}, Buildable)
