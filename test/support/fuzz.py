# SPDX-License-Identifier: Apache-2.0
"""Feeds random and changed messages to a decoder: it must refuse them, or give plain values."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vla_ros.core.errors import RemotePolicyError, WireFormatError

PLAIN = (type(None), bool, int, float, str, bytes)
# Fewer messages say nothing of a leak: Python and whoever watches the test keep some memory too.
MANY = 50_000
# Less than an object for each message; Python's table of keys it has seen doubles now and then.
KEPT_BYTES = 4 * 1024 * 1024


def mutated(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Messages made of others by changing, cutting, repeating and joining; some are all random."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(data) + 1)
            piece = data[start : start + rng.randint(1, 16)]
            match rng.randrange(6):
                case 0:
                    data[start : start + 1] = rng.randbytes(1)
                case 1:
                    del data[start : start + rng.randint(1, 16)]
                case 2:
                    data[start:start] = piece * rng.randint(1, 8)
                case 3:
                    data[start:] = rng.choice(seeds)[rng.randrange(64) :]
                case 4:
                    data[start:start] = rng.randbytes(rng.randint(1, 16))
                case _:
                    data[start : start + 8] = rng.choice((0, 255, 127, 128)).to_bytes(1, "big") * 8
        yield rng.randbytes(rng.randint(0, 64)) if rng.random() < 0.05 else bytes(data)


def require_plain(value: Any) -> None:
    """See that a value is made of allowed types alone, by their very type."""
    if type(value) is np.ndarray:
        assert value.dtype.kind in "biuf"
    elif isinstance(value, (list, tuple)):
        for item in value:
            require_plain(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            assert type(key) is str
            require_plain(item)
    else:
        assert type(value) in PLAIN, type(value)


def fuzz(decode: Callable[[bytes], Any], seeds: Sequence[bytes], count: int, *, seed: int) -> int:
    """Feed the messages and, where they are many, see that memory stays flat.

    Returns:
        How many were accepted.
    """
    accepted = 0
    held = 0
    tracemalloc.start()
    try:
        for index, data in enumerate(mutated(seeds, count, seed)):
            if index == count // 2:
                gc.collect()
                held, _ = tracemalloc.get_traced_memory()
            try:
                value = decode(data)
            except (RemotePolicyError, WireFormatError):
                continue
            require_plain(value)
            accepted += 1
        gc.collect()
        at_end, _ = tracemalloc.get_traced_memory()
        assert count < MANY or at_end - held < 0.05 * held + KEPT_BYTES
    finally:
        tracemalloc.stop()
    return accepted
