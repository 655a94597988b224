# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
import os
import pickle
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from test.support.lerobot_samples import GOLDEN
from test.wire.pickle.test_writer import trees
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.act.request import decode_request
from vla_ros.wire.lerobot.actions import decode_actions
from vla_ros.wire.lerobot.observation import decode_observation
from vla_ros.wire.lerobot.policy_setup import decode_policy_setup
from vla_ros.wire.pickle.machine import Allowed
from vla_ros.wire.pickle.reader import (
    MAX_INSTRUCTIONS,
    Record,
    read_pickle,
    read_pickle_at,
)
from vla_ros.wire.pickle.writer import Call, Global, Instance, Persistent, write_pickle

DECODERS: list[Callable[[bytes], Any]] = [
    decode_actions, decode_observation, decode_policy_setup, decode_request,
]  # fmt: skip
MIB = 1024 * 1024


def read(data: bytes, allowed: Allowed | None = None, **options: Any) -> Any:
    return read_pickle(data, allowed or {}, max_bytes=MIB, **options)


class Runs:
    """Pickled, it runs a function where it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.run = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.run


def recursive() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def torch_loader(data: bytes) -> bytes:
    """What makes LeRobot's side load a file of torch, and run what it names."""
    return write_pickle(Call(Global("torch.storage", "_load_from_bytes"), (data,)))


@given(trees, st.integers(3, 5))
def test_plain_values_of_every_protocol_are_read(tree: Any, protocol: int):
    assert repr(read(pickle.dumps(tree, protocol))) == repr(tree)


@given(trees)
def test_what_is_written_is_read(tree: Any):
    assert repr(read(write_pickle(tree))) == repr(tree)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_occurs_twice_is_the_same(protocol: int):
    shared = ["x"]
    many = [[index] for index in range(300)]

    value = read(pickle.dumps([shared, shared, many, many], protocol))

    assert value == [shared, shared, many, many]
    assert value[0] is value[1]
    assert value[2] is value[3]


def test_long_texts_and_bytes_are_read():
    value = ["é" * 200, "x" * 60_000, bytes(300), bytes(70_000), bytearray(b"abc")]

    assert read(pickle.dumps(value, 5)) == value
    assert read(b"\x80\x04\x8d\1\0\0\0\0\0\0\0a.") == "a"
    assert read(b"\x80\x04\x8e\1\0\0\0\0\0\0\0a.") == b"a"


def test_an_instance_is_a_record():
    record = read(write_pickle(Instance(Global("m", "C"), {"a": 1})), {("m", "C"): Record})

    assert isinstance(record, Record)
    assert record.fields == {"a": 1}


@pytest.mark.parametrize("naming", [b"cm\nC\n", b"\x8c\1m\x8c\1C\x93"])
def test_what_is_named_can_only_be_called_as_allowed(naming: bytes):
    assert read(naming + b"K\1\x85R.", {("m", "C"): lambda arguments: ["made", *arguments]}) == [
        "made",
        1,
    ]
    assert read(naming + b".", {("m", "C"): None}) == ("m", "C")
    with pytest.raises(WireFormatError, match=r"Global .* cannot be called with tuple \(1,\)"):
        read(naming + b"K\1\x85R.", {("m", "C"): None})


def test_a_persistent_id_is_asked_for():
    data = write_pickle(Persistent(("id",)))

    assert read(data, persistent_load=lambda value: ["loaded", value]) == ["loaded", ("id",)]
    with pytest.raises(WireFormatError, match="a persistent id is refused"):
        read(data)


def test_several_pickles_follow_each_other():
    data = pickle.dumps(1) + pickle.dumps("two") + b"rest"

    first, position = read_pickle_at(data, 0, {})
    second, position = read_pickle_at(data, position, {})

    assert (first, second, data[position:]) == (1, "two", b"rest")


_TOUCH = "__import__('pathlib').Path('hacked').touch()"
HOSTILE = {
    "os.system": pickle.dumps(Runs(os.system, "touch hacked")),
    "builtins.eval": pickle.dumps(Runs(eval, _TOUCH)),
    "builtins.exec, protocol 0": pickle.dumps(Runs(exec, _TOUCH), 0),
    "getattr": pickle.dumps(Runs(getattr, "text", "upper")),
    "torch's loader": torch_loader(pickle.dumps(Runs(os.system, "touch hacked"))),
    "torch's loader, zip": torch_loader(b"PK\x03\x04" + bytes(60)),
    "pickle in a pickle": pickle.dumps(Runs(pickle.loads, pickle.dumps(Runs(os.system, "x")))),
    "in a list": pickle.dumps([{"a": Runs(os.system, "touch hacked")}]),
    "recursive": pickle.dumps(recursive()),
    "truncated": (GOLDEN / "actions_4.pickle").read_bytes()[:-200],
    "extension registry": b"\x80\x02\x82\x01.",
    "out of band": b"\x80\x05\x97.",
    "nothing": b"",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "followed by more": pickle.dumps([]) + b"x",
    # Python's own unpickler would take gigabytes for these, or would never end.
    "memory index": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "memory index, read": b"\x80\x04j\xff\xff\xff\xff.",
    "frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
    "bytes": b"\x80\x04B\xff\xff\xff\xff.",
    "long bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "long text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "long integer": b"\x80\x04\x8b\xff\xff\xff\x7f.",
    "many lists": b"\x80\x04" + b"]" * 4 * MIB + b".",
    "deep": b"\x80\x04" + b"](" * MIB + b"e" * MIB + b".",
    "deep, within the instructions": b"]" * 30_000 + b"a" * 29_999 + b".",
    "doubling tuples as a key": b"Nq\0" + b"h\0h\0\x86q\0" * 200 + b"}h\0Ns.",
    "doubling lists": b"Nq\0" + b"](h\0h\0eq\0" * 200 + b".",
    "long text that is there": b"X\0\0\x20\0" + b"x" * 2 * MIB + b".",
    "state of a name": b"cnumpy\ndtype\n}b.",
    "name of no text": b"N]\x93.",
}  # fmt: skip


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_at_once(
    name: str, decode: Callable[[bytes], Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    began_s = time.thread_time()
    tracemalloc.start()
    try:
        with pytest.raises(WireFormatError):
            decode(HOSTILE[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.thread_time() - began_s < 5.0
    assert peak < 32 * MIB
    assert not list(tmp_path.iterdir())


def test_the_hostile_ones_are_hostile(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "builtins.eval", "builtins.exec, protocol 0", "in a list"):
        pickle.loads(HOSTILE[name])
        (tmp_path / "hacked").unlink()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            pickle.dumps(os.getcwd),
            "str 'posix' str 'getcwd' is named, which is refused; allowed: m.C",
        ),
        (b"cm.C\nx\n.", "str 'm.C' str 'x' is named, which is refused"),
        (b"cm\xff\nx\n.", "a text is not UTF-8"),
        (b"cm", "byte 1: a line does not end"),
        (b"cm\nC", "byte 3: a line does not end"),
        (b"X\2\0\0\0\xff\xfe.", "byte 7: a text is not UTF-8"),
        (b"X\1\0\1\0" + b"x" * 65537, "a text has 65537 bytes; at most 65536 are allowed"),
        (b"X\2\0\0\0a", "byte 5: 2 bytes are claimed, 1 are there"),
        (b"", "byte 0: 1 bytes are claimed, 0 are there"),
        (b".", "byte 1: a value is missing"),
        (b"(.", "byte 2: a value is missing"),
        (b"N(R.", "a value is missing"),
        (b"N\x86.", "a value is missing"),
        (b"N(\x85.", "a value is missing"),
        (b"e.", "a mark is missing"),
        (b"(e.", "a value is missing"),
        (b"N(e.", "a list is needed; found NoneType None"),
        (b"NNa.", "a list is needed"),
        (b"]NNs.", "a dict is needed; found list"),
        (b"}(Nu.", "a dict must have texts as keys; found list"),
        (b"}(NNu.", "a dict must have texts"),
        (b"}K\1Ns.", r"a dict must have texts as keys; found list \[1, None\]"),
        (b"q\0.", "a value is missing"),
        (b"h\7.", "nothing was memorised as 7"),
        (b"I1\n.", "byte 1: instruction INT is refused"),
        (b"N0.", "instruction POP is refused"),
        (b"\xff.", r"instruction b'\\xff' is refused"),
        (b"N)R.", r"NoneType None cannot be called with tuple \(\)"),
        (b"cm\nC\nNR.", "cannot be called with NoneType None"),
        (b"(X\1\0\0\0mX\1\0\0\0Ct)R.", r"tuple \('m', 'C'\) cannot be called"),
        (b"]Nb.", r"a Buildable is needed; found list \[\]"),
        (b"cm\nC\n}b.", "a Buildable is needed; found Global"),
        (b"cm\nC\n)\x81Nb.", "the state of a record must be a dict; found NoneType"),
        (b"cm\nC\nN\x85\x81.", r"a record takes no arguments; found tuple \(None,\)"),
        (b"NN.x", "1 bytes follow its end"),
        (b"N" * MAX_INSTRUCTIONS, "more than 100000 instructions are refused"),
        (b"N" * (MIB + 1), "pickle has 1048577 bytes; at most 1048576 are allowed"),
    ],
)
def test_errors_name_the_place_and_what_is_allowed(data: bytes, text: str):
    with pytest.raises(WireFormatError, match=text):
        read(data, {("m", "C"): Record})


def test_nothing_that_is_read_is_kept():
    data = write_pickle(Instance(Global("m", "C"), {"a": 1}))

    first, second = (read(data, {("m", "C"): Record}) for _ in range(2))

    assert first is not second
    assert first.fields is not second.fields


SEEDS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.pickle"))]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    st.none() | st.integers(0, 1000),
)
def test_changed_pickles_raise_nothing_else(
    seed: bytes, changes: list[tuple[int, int]], length: int | None
):
    data = bytearray(seed)
    for position, value in changes:
        data[position % len(data)] = value
    for decode in DECODERS:
        with contextlib.suppress(WireFormatError):
            decode(bytes(data[:length]))


INSTRUCTIONS = [
    b"(", b")", b"]", b"}", b"N", b"K\0", b"K\2", b"J\xff\xff\xff\xff", b"G?\xf0\0\0\0\0\0\0",
    b"\x88", b"\x8c\1a", b"C\4abcd", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87", b"R",
    b"\x81", b"b", b"Q", b"q\0", b"h\0", b"\x94", b"\x93", b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.numeric\n_frombuffer\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch.storage\n_load_from_bytes\n",
    b"ccollections\nOrderedDict\n",
    b"clerobot.async_inference.helpers\nTimedAction\n",
    b"clerobot.async_inference.helpers\nTimedObservation\n",
    b"clerobot.async_inference.helpers\nRemotePolicyConfig\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(INSTRUCTIONS), max_size=40))
@example([b"cnumpy\ndtype\n", b"\x8c\1a", b"\x88", b"\x88", b"\x87", b"R"])
def test_arbitrary_instructions_raise_nothing_else(instructions: list[bytes]):
    data = b"".join(instructions) + b"."
    for decode in DECODERS:
        with contextlib.suppress(WireFormatError):
            decode(data)


@given(st.lists(st.sampled_from([*INSTRUCTIONS[:28], b"\x82\1", b"I1\n"]), max_size=20))
def test_plain_instructions_give_what_pickle_gives(instructions: list[bytes]):
    data = b"".join(instructions) + b"."
    try:
        ours, _ = read_pickle_at(data, 0, {})
    except WireFormatError:
        return

    assert repr(ours) == repr(pickle.Unpickler(io.BytesIO(data)).load())
