# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vla_ros.backends._reused_memory import ReusedMemory

LARGE = 100_000


def memory_of(view: bytes | memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


@pytest.mark.parametrize("length", [0, 1, LARGE])
def test_parts_are_joined(length: int):
    parts = [b"ab", memoryview(b"c" * length), b"", memoryview(b"xdy")[1:2]]

    assert bytes(ReusedMemory().join(parts)) == b"ab" + b"c" * length + b"d"


def test_large_messages_share_their_memory():
    memory = ReusedMemory()
    first = memory.join([b"a" * LARGE, b"b"])
    second = memory.join([b"c" * LARGE])

    assert memory_of(first) == memory_of(second)
    assert bytes(second) == b"c" * LARGE
    longer = memory.join([b"d" * LARGE, b"e" * LARGE])
    assert bytes(longer) == b"d" * LARGE + b"e" * LARGE
    assert bytes(second) == b"c" * LARGE


def test_small_messages_have_their_own():
    memory = ReusedMemory()
    first, second = memory.join([b"a", b"b"]), memory.join([b"c"])

    assert (first, second) == (b"ab", b"c")


def test_nobody_can_write_to_a_message():
    view = ReusedMemory().join([b"a" * LARGE])

    assert isinstance(view, memoryview)
    assert view.readonly
