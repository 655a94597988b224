# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from test.support.lerobot_samples import CHUNK, actions, golden
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.actions import TimedActions, decode_actions, encode_actions
from vla_ros.wire.lerobot.torch_pickle import pickled_tensor
from vla_ros.wire.lerobot.torch_storage import write_storage
from vla_ros.wire.pickle.writer import Call, Global, Instance, write_pickle

TIMED = Global("lerobot.async_inference.helpers", "TimedAction")
ROW = np.zeros(2, np.float32)


def action(index: int = 0, values: Any = ROW, **changed: Any) -> Instance:
    tensor = pickled_tensor(values) if isinstance(values, np.ndarray) else values
    fields = {"timestamp": 1.0, "timestep": index, "action": tensor, **changed}
    return Instance(TIMED, fields)


def check(ours: TimedActions, theirs: TimedActions) -> None:
    for name in TimedActions.__slots__:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), strict=True)


@pytest.mark.parametrize("name", ["4", "5", "float32"])
def test_golden_actions_are_read(name: str):
    check(decode_actions(golden(f"actions_{name}")), actions())


@pytest.mark.parametrize(
    ("dtype", "read_as", "expected"),
    [
        ("float32", "float32", CHUNK),
        ("float64", "float64", CHUNK),
        ("float16", "float32", CHUNK),
        ("bfloat16", "float32", CHUNK),
        ("int64", "float64", [[-1, 0], [0, 0], [1, 1]]),
        ("int32", "float64", [[-1, 0], [0, 0], [1, 1]]),
        ("int16", "float32", [[-1, 0], [0, 0], [1, 1]]),
        ("uint8", "float32", [[255, 0], [0, 0], [1, 1]]),
        ("bool", "float32", [[1, 1], [0, 1], [1, 1]]),
    ],
)
def test_tensors_of_every_kind_are_read(dtype: str, read_as: str, expected: Any):
    """What torch made of the chunk, all as floats."""
    read = decode_actions(golden(f"actions_{dtype}"))

    np.testing.assert_array_equal(read.actions, np.array(expected, read_as), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_lerobot_was_seen_to_read_is_written(dtype: str):
    assert encode_actions(actions(dtype)) == golden(f"ours_actions_{dtype}")
    check(decode_actions(golden(f"ours_actions_{dtype}")), actions(dtype))


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: nps.arrays(dtype, nps.array_shapes(min_dims=2, max_dims=2, max_side=9))
    ),
    st.integers(0, 2**40),
    st.floats(allow_nan=False),
    st.booleans(),
)
def test_round_trip(values: np.ndarray, first: int, timestamp: float, transposed: bool):
    values = values.T if transposed else values
    timesteps = first + np.arange(len(values))
    chunk = TimedActions(np.full(len(values), timestamp), timesteps, values)

    check(decode_actions(encode_actions(chunk)), chunk)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], r"must be a list of 1 or more; found list \[\]"),
        (None, "must be a list of 1 or more; found NoneType"),
        (action(), "must be a list of 1 or more; found Record"),
        ([None], r"a TimedAction \(0\) must have a timestamp"),
        ([action(), action(timestep=-1)], r"a TimedAction \(1\) must have"),
        ([Instance(TIMED, {"timestamp": 1.0, "timestep": 1})], "action 0 must be a tensor"),
        ([action(values=[1.0])], r"action 0 must be a tensor \(D,\) .* found list"),
        ([action(values=Call(Global("collections", "OrderedDict"), ()))], "action 0 must be"),
        ([action(), action(values=np.zeros(3, np.float32))], "action 1 must be .* found array"),
        ([action(), action(values=np.zeros(2))], "action 1 must be .* as the others"),
        ([action(values=np.zeros((1, 2), np.float32))], "tensor: offset"),
    ],
)
def test_other_actions_are_refused(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_actions(write_pickle(value))


def test_rows_have_one_dimension():
    storage = Call(Global("torch.storage", "_load_from_bytes"), (write_storage(ROW),))
    hooks = Call(Global("collections", "OrderedDict"), ())
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")

    with pytest.raises(WireFormatError, match="action 0 must be a tensor"):
        decode_actions(
            write_pickle([action(values=Call(rebuild, (storage, 0, (1, 2), (2, 1), False, hooks)))])
        )


def test_other_numbers_and_lengths_are_not_sent():
    with pytest.raises(WireFormatError, match="float32 or float64"):
        encode_actions(actions("int64"))


def test_long_ones_are_refused():
    with pytest.raises(WireFormatError, match="at most 9 are allowed"):
        decode_actions(golden("actions_4"), max_bytes=9)


def test_little_does_not_become_much():
    """One long row, named again and again."""
    row = write_pickle(pickled_tensor(np.zeros(100_000, np.float32)))[2:-1] + b"q\1"
    moment = b"}(X\x09\0\0\0timestampG\0\0\0\0\0\0\0\0X\x08\0\0\0timestepK\0X\x06\0\0\0actionh\1ub"
    timed = b"clerobot.async_inference.helpers\nTimedAction\n)\x81" + moment
    data = row + b"](" + timed * 1000 + b"e."

    began_s = time.thread_time()
    tracemalloc.start()
    try:
        with pytest.raises(WireFormatError, match="the actions are longer than 1000000 bytes"):
            decode_actions(data, max_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.thread_time() - began_s < 5.0
    assert peak < 32 * 1024 * 1024
