# SPDX-License-Identifier: Apache-2.0
"""Pickles read as data: nothing that they name is imported, looked up or called.

Python's own unpickler runs what a pickle asks for. Restricting what it may look up does not make
it safe: it still allocates what a length claims, hashes nested keys without end, and sets
attributes of what it was allowed to find. So this interpreter knows only the instructions that
plain data need, in protocols 2 to 5, and none of Python's objects but those that it makes.

Work is bounded by the number of instructions, memory by that and by the length. What is read may
hold itself, and may be deep: look at it by its type, never compare, hash or show it whole. Pure;
any thread may call.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.limits import check_length
from vla_ros.wire.pickle.machine import Allowed, Load, PickleMachine
from vla_ros.wire.shown import shown

MAX_INSTRUCTIONS = 100_000
_NAMES = {instruction.code: instruction.name for instruction in pickletools.opcodes}


class Record:
    """Stands for an instance of a plain class.

    Attributes:
        fields: Its attributes.
    """

    __slots__ = ("fields",)

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        """Be made as ``__new__`` of the class would be called: without arguments."""
        if arguments:
            raise WireFormatError(f"a record takes no arguments; found {shown(arguments)}")
        self.fields: dict[str, Any] = {}

    def build(self, state: Any) -> None:
        """Take the attributes, all at once."""
        if not isinstance(state, dict):
            raise WireFormatError(f"the state of a record must be a dict; found {shown(state)}")
        self.fields = state


def read_pickle(
    data: bytes, allowed: Allowed, *, max_bytes: int, persistent_load: Load | None = None
) -> Any:
    """The value in a pickle that fills the data.

    Args:
        data: The pickle, protocol 2 to 5.
        allowed: Module and name of each class and function that it may name, to what stands for it:
            a function of its arguments (one tuple); None where it may be named and not called. What
            the function returns may have a method ``build``, which is told the state.
        max_bytes: A longer one is refused.
        persistent_load: What stands for a persistent id; None: there may be none.

    Raises:
        WireFormatError: It is no such pickle, names something else, or asks for too much.
    """
    check_length("pickle", data, max_bytes)
    value, end = read_pickle_at(data, 0, allowed, persistent_load=persistent_load)
    if end != len(data):
        raise WireFormatError(f"pickle: {len(data) - end} bytes follow its end")
    return value


def read_pickle_at(
    data: bytes,
    start: int,
    allowed: Allowed,
    *,
    max_instructions: int = MAX_INSTRUCTIONS,
    persistent_load: Load | None = None,
) -> tuple[Any, int]:
    """The value in a pickle that begins somewhere in the data, and where it ends.

    Raises:
        WireFormatError: As ``read_pickle``.
    """
    machine = PickleMachine(data, start, allowed, persistent_load)
    for _ in range(max_instructions):
        code = machine.take(1)
        if code == pickle.STOP:
            return machine.pop(), machine.position
        run = _INSTRUCTIONS.get(code)
        if run is None:
            known = _NAMES.get(code.decode("latin-1"), repr(code))
            raise machine.wrong(f"instruction {known} is refused")
        run(machine)
    raise machine.wrong(f"more than {max_instructions} instructions are refused")


def _constant(value: Any) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.push(value)


def _number(form: str) -> Callable[[PickleMachine], Any]:
    """Takes a number."""
    unpacker = struct.Struct(form)
    return lambda machine: unpacker.unpack(machine.take(unpacker.size))[0]


def _push(take: Callable[[PickleMachine], Any]) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.push(take(machine))


def _bytes(form: str) -> Callable[[PickleMachine], bytes]:
    """Takes a length and as many bytes."""
    length = _number(form)
    return lambda machine: machine.take(length(machine))


def _text(form: str) -> Callable[[PickleMachine], str]:
    data = _bytes(form)
    return lambda machine: machine.text(data(machine))


def _named_by_lines(machine: PickleMachine) -> None:
    module = machine.text(machine.take_line())
    machine.name(module, machine.text(machine.take_line()))


def _named_by_stack(machine: PickleMachine) -> None:
    name = machine.pop()
    machine.name(machine.pop(), name)


def _append(machine: PickleMachine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _extend(machine: PickleMachine) -> None:
    values = machine.pop_marked()
    machine.top(list).extend(values)


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _tuple_of(count: int) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.push_tuple(count)


_UINT_8, _UINT_16, _UINT_32, _UINT_64 = (_number(form) for form in ("<B", "<H", "<I", "<Q"))

_INSTRUCTIONS: dict[bytes, Callable[[PickleMachine], Any]] = {
    # Where a pickle and its frames begin says nothing that is needed.
    pickle.PROTO: _UINT_8,
    pickle.FRAME: _UINT_64,
    pickle.NONE: _constant(None),
    pickle.NEWTRUE: _constant(True),  # noqa: FBT003
    pickle.NEWFALSE: _constant(False),  # noqa: FBT003
    pickle.BININT: _push(_number("<i")),
    pickle.BININT1: _push(_UINT_8),
    pickle.BININT2: _push(_UINT_16),
    pickle.LONG1: _push(
        lambda machine: int.from_bytes(_bytes("<B")(machine), "little", signed=True)
    ),
    pickle.BINFLOAT: _push(_number(">d")),
    pickle.BINUNICODE: _push(_text("<I")),
    pickle.SHORT_BINUNICODE: _push(_text("<B")),
    pickle.BINUNICODE8: _push(_text("<Q")),
    pickle.BINBYTES: _push(_bytes("<I")),
    pickle.SHORT_BINBYTES: _push(_bytes("<B")),
    pickle.BINBYTES8: _push(_bytes("<Q")),
    pickle.BYTEARRAY8: _push(_bytes("<Q")),
    pickle.EMPTY_LIST: lambda machine: machine.push([]),
    pickle.APPEND: _append,
    pickle.APPENDS: _extend,
    pickle.EMPTY_DICT: lambda machine: machine.push({}),
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: lambda machine: machine.set_items(machine.pop_marked()),
    pickle.EMPTY_TUPLE: _constant(()),
    pickle.TUPLE: lambda machine: machine.push(tuple(machine.pop_marked())),
    pickle.TUPLE1: _tuple_of(1),
    pickle.TUPLE2: _tuple_of(2),
    pickle.TUPLE3: _tuple_of(3),
    pickle.MARK: PickleMachine.mark,
    pickle.BINPUT: lambda machine: machine.put(_UINT_8(machine)),
    pickle.LONG_BINPUT: lambda machine: machine.put(_UINT_32(machine)),
    pickle.MEMOIZE: PickleMachine.put_next,
    pickle.BINGET: lambda machine: machine.get(_UINT_8(machine)),
    pickle.LONG_BINGET: lambda machine: machine.get(_UINT_32(machine)),
    pickle.GLOBAL: _named_by_lines,
    pickle.STACK_GLOBAL: _named_by_stack,
    # An instance and a result are made in the same way: by what stands for the name.
    pickle.REDUCE: PickleMachine.call,
    pickle.NEWOBJ: PickleMachine.call,
    pickle.BUILD: PickleMachine.build,
    pickle.BINPERSID: PickleMachine.load,
}
