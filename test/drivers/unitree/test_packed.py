# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from random import Random
from typing import Any

import pytest
from cyclonedds.idl import IdlStruct
from cyclonedds.idl._support import Endianness  # only to ask for another encoding
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.drivers.unitree import idl_go, idl_hg

KINDS = (idl_hg.LowCmd, idl_hg.LowState, idl_go.MotorCmds, idl_go.MotorStates)


def changed(value: Any, random: Random) -> Any:
    """A value like this one, with other numbers in it; floats are those of 32 bits."""
    if isinstance(value, IdlStruct):
        return type(value)(*(changed(part, random) for part in vars(value).values()))
    if isinstance(value, bytes):
        return random.randbytes(len(value))
    if isinstance(value, list):
        return [changed(item, random) for item in value]
    return struct.unpack("<f", struct.pack("<f", random.gauss(0, 9)))[0] if isinstance(
        value, float
    ) else random.randrange(128)  # fmt: skip


def filled(kind: type, seed: int) -> Any:
    random = Random(seed)
    made = kind()
    if kind is idl_go.MotorCmds:
        made.cmds = [idl_go.MotorCmd() for _ in range(random.randrange(15))]
    if kind is idl_go.MotorStates:
        made.states = [idl_go.MotorState() for _ in range(random.randrange(15))]
    return changed(made, random)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1))
def test_bytes_are_those_that_cyclonedds_makes(kind: type, seed: int):
    message = filled(kind, seed)

    written = kind.__idl__.serialize(message)

    assert message.serialize() == written
    assert message.serialize(use_version_2=None) == written
    assert kind.deserialize(written) == kind.__idl__.deserialize(written) == message


@pytest.mark.parametrize("kind", KINDS)
def test_other_encodings_go_cyclonedds_way(kind: type):
    message = filled(kind, 7)

    for options in ({"endianness": Endianness.Big}, {"use_version_2": True}):
        written = message.serialize(**options)
        assert written != message.serialize()
        assert kind.deserialize(written) == message


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_too_few_bytes_are_refused(kind: type, data: st.DataObject):
    written = filled(kind, 3).serialize()

    short = written[: data.draw(st.integers(4, len(written) - 1))]

    with pytest.raises(struct.error):
        kind.deserialize(short)


def test_a_length_beyond_the_end_is_refused():
    with pytest.raises(struct.error, match="4294967295 motors need 154618822624 bytes, found 8"):
        idl_go.MotorCmds.deserialize(b"\0\1\0\0" + b"\xff" * 4 + bytes(4))
