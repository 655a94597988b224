# SPDX-License-Identifier: Apache-2.0
"""What an interpreter of pickles works on: bytes, a stack with marks, and a memory.

Every step is checked, so that no pickle can do more than put values together. A machine belongs to
one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.pickle.writer import Global
from vla_ros.wire.shown import shown

# What stands for a class or function: called with its arguments. None: it can only be named.
Maker = Callable[[tuple[Any, ...]], Any]
Allowed = Mapping[tuple[str, str], Maker | None]
Load = Callable[[Any], Any]

# Longer than any name, path or instruction. Texts are compared with each other, over and over.
_MAX_TEXT_BYTES = 64 * 1024
_Kind = TypeVar("_Kind")


@runtime_checkable
class Buildable(Protocol):
    """What a pickle may tell a state."""

    def build(self, state: Any) -> None:
        """Take the state.

        Raises:
            WireFormatError: It is none for this.
        """


class PickleMachine:
    """The state of one reading. Every method raises ``WireFormatError`` where it cannot be done."""

    __slots__ = ("_allowed", "_data", "_load", "_marks", "_memo", "_position", "_stack")

    def __init__(self, data: bytes, start: int, allowed: Allowed, load: Load | None) -> None:
        """Begin with nothing.

        Args:
            data: Where the pickle is.
            start: Where it begins.
            allowed: What stands for each class and function that it may name.
            load: What stands for a persistent id; None: there may be none.
        """
        self._data = data
        self._position = start
        self._allowed = allowed
        self._load = load
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    @property
    def position(self) -> int:
        """How much of the data was taken."""
        return self._position

    def wrong(self, text: str) -> WireFormatError:
        """An error that says where it is."""
        return WireFormatError(f"pickle: byte {self._position}: {text}")

    def take(self, length: int) -> bytes:
        """The next bytes."""
        start, end = self._position, self._position + length
        if end > len(self._data):
            raise self.wrong(f"{length} bytes are claimed, {len(self._data) - start} are there")
        self._position = end
        return self._data[start:end]

    def take_line(self) -> bytes:
        """The bytes up to the next end of a line, which is taken too."""
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise self.wrong("a line does not end")
        return self.take(end + 1 - self._position)[:-1]

    def text(self, data: bytes) -> str:
        """Bytes as text."""
        if len(data) > _MAX_TEXT_BYTES:
            raise self.wrong(f"a text has {len(data)} bytes; at most {_MAX_TEXT_BYTES} are allowed")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.wrong(f"a text is not UTF-8: {error}") from error

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the top from the stack."""
        self._need(1)
        return self._stack.pop()

    def top(self, kind: type[_Kind]) -> _Kind:
        """The top of the stack, which must be of a kind."""
        self._need(1)
        value = self._stack[-1]
        if not isinstance(value, kind):
            raise self.wrong(f"a {kind.__name__} is needed; found {shown(value)}")
        return value

    def push_tuple(self, count: int) -> None:
        """Take some values from the stack, and put a tuple of them there."""
        self._need(count)
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def mark(self) -> None:
        """Remember how high the stack is; nothing below can be taken until the mark is."""
        self._marks.append(len(self._stack))

    def pop_marked(self) -> list[Any]:
        """Take all above the last mark from the stack, and the mark."""
        if not self._marks:
            raise self.wrong("a mark is missing")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def put(self, index: int) -> None:
        """Memorise the top of the stack."""
        self._memo[index] = self.top(object)

    def put_next(self) -> None:
        """Memorise the top of the stack under the next number."""
        self.put(len(self._memo))

    def get(self, index: int) -> None:
        """Put on the stack what was memorised."""
        if index not in self._memo:
            raise self.wrong(f"nothing was memorised as {index}")
        self._stack.append(self._memo[index])

    def set_items(self, values: list[Any]) -> None:
        """Put keys and values into the dict on the stack.

        Keys are texts: others could take for ever to hash.
        """
        target = self.top(dict)
        keys = values[::2]
        if len(values) % 2 or not all(type(key) is str for key in keys):
            raise self.wrong(f"a dict must have texts as keys; found {shown(values)}")
        target.update(zip(keys, values[1::2], strict=True))

    def name(self, module: Any, name: Any) -> None:
        """Put a class or function on the stack, by its name alone."""
        found = Global(module, name)
        if not (type(module) is type(name) is str and found in self._allowed):
            allowed = ", ".join(".".join(each) for each in self._allowed)
            raise self.wrong(
                f"{shown(module)} {shown(name)} is named, which is refused; allowed: {allowed}"
            )
        self._stack.append(found)

    def call(self) -> None:
        """Take arguments and a name from the stack, and put there what the maker makes."""
        arguments, named = self.pop(), self.pop()
        maker = self._allowed[named] if type(named) is Global else None
        if maker is None or type(arguments) is not tuple:
            raise self.wrong(f"{shown(named)} cannot be called with {shown(arguments)}")
        self._stack.append(maker(arguments))

    def build(self) -> None:
        """Take a state from the stack, and tell it to the top."""
        state = self.pop()
        self.top(Buildable).build(state)  # type: ignore[type-abstract]

    def load(self) -> None:
        """Take a persistent id from the stack, and put there what it stands for."""
        if self._load is None:
            raise self.wrong("a persistent id is refused")
        self._stack.append(self._load(self.pop()))

    def _need(self, count: int) -> None:
        if len(self._stack) - (self._marks[-1] if self._marks else 0) < count:
            raise self.wrong("a value is missing")
