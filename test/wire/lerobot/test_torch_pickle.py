# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.torch_pickle import Tensors, pickled_tensor
from vla_ros.wire.lerobot.torch_storage import write_storage
from vla_ros.wire.pickle.reader import read_pickle
from vla_ros.wire.pickle.writer import Call, Global, write_pickle

REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
LOAD = Global("torch.storage", "_load_from_bytes")
HOOKS = Call(Global("collections", "OrderedDict"), ())
SIX = np.arange(6, dtype=np.float32)


def read(value: Any, max_bytes: int = 100_000) -> Any:
    return read_pickle(write_pickle(value), Tensors(max_bytes).allowed, max_bytes=1 << 20)


def tensor(offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
    storage = Call(LOAD, (write_storage(SIX),))
    return Call(REBUILD, (storage, offset, size, stride, *(rest or (False, HOOKS))))


@given(st.sampled_from(["<f4", "<f8"]).flatmap(lambda dtype: nps.arrays(dtype, st.integers(1, 50))))
def test_round_trip(values: np.ndarray):
    tensor = read(pickled_tensor(values))

    assert tensor.dtype == values.dtype
    assert tensor.tobytes() == values.tobytes()


@given(st.data())
def test_views_are_those_of_numpy(data: st.DataObject):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    view = array[data.draw(nps.basic_indices(array.shape))]
    if not isinstance(view, np.ndarray) or not view.size or min(view.strides, default=0) < 0:
        return
    offset = int(view.flat[0])
    stride = tuple(step // 4 for step in view.strides)
    storage = Call(LOAD, (write_storage(array.reshape(-1)),))

    tensor = read(Call(REBUILD, (storage, offset, view.shape, stride, True, HOOKS)))

    np.testing.assert_array_equal(tensor, view)
    assert not tensor.flags.writeable


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (7,), (1,)),
        (6, (1,), (1,)),
        (1, (6,), (1,)),
        (0, (2, 3), (4, 1)),
        (0, (4,), (2,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (3, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (0,), (1,)),
        (0, (10**12,), (0,)),
        (0, (7,), (0,)),
        (0, (2,), (1, 1)),
        (0, (1,) * 9, (1,) * 9),
        (0, (1,), (2**70,)),
        (2**70, (1,), (1,)),
        (0, (2.0,), (1,)),
        (0, (2,), ("1",)),
        (0, (True,), (1,)),
    ],
)
def test_what_is_outside_the_storage_is_refused(offset: int, size: Any, stride: Any):
    with pytest.raises(WireFormatError, match=r"tensor: offset .* do not fit a storage of 6"):
        read(tensor(offset, size, stride))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Call(REBUILD, ()), r"must be made of \(storage, offset, size, stride"),
        (Call(REBUILD, (b"", 0, (1,), (1,), False, HOOKS)), "must be made of"),
        (tensor(0, [1], (1,)), "must be made of"),
        (tensor(0, (1,), (1,), None, HOOKS), "must be made of"),
        (tensor(0, (1,), (1,), False, None), "must be made of"),
        (tensor(0, (1,), (1,), False, HOOKS, {"metadata": 1}), "must be made of"),
        (tensor(0, (1,), (1,), False, {"hook": 1}), "must be made of"),
        (Call(Global("collections", "OrderedDict"), ([],)), "hooks are refused; found tuple"),
        (Call(LOAD, ("text",)), "storage: it must be bytes; found tuple"),
        (Call(LOAD, (b"", b"")), "storage: it must be bytes"),
        (Call(LOAD, (b"",)), "pickle: byte 0"),
    ],
)
def test_what_is_no_tensor_is_refused(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        read(value)


def test_the_same_storage_is_read_once():
    first, second = read([tensor(0, (3,), (1,)), tensor(3, (3,), (1,))])

    assert (first.tolist(), second.tolist()) == ([0, 1, 2], [3, 4, 5])
    assert second.__array_interface__["data"][0] - first.__array_interface__["data"][0] == 12


def test_storages_are_limited_in_all():
    length = len(write_storage(SIX))
    both = [tensor(0, (1,), (1,)), tensor(1, (1,), (1,))]

    assert len(read(both, max_bytes=2 * length)) == 2
    with pytest.raises(WireFormatError, match="together they are longer than the message may be"):
        read(both, max_bytes=2 * length - 1)
