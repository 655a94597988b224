# SPDX-License-Identifier: Apache-2.0
"""One mapping of a description file, read key by key.

A ``Section`` remembers where it stands, so every error names the file, the key, what was found and
what is allowed. ``finish`` refuses every key that nobody asked for, so a misspelt one never passes.
No I/O; one thread per section.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf, isfinite
from typing import Any, TypeVar

from vla_ros.core.errors import ConfigError

Choice = TypeVar("Choice", bound=str)
Entry = TypeVar("Entry")
_MISSING = object()


def repeated(names: Iterable[str]) -> tuple[str, ...]:
    """The names that stand more than once, each of them once, in order."""
    return tuple(name for name, count in Counter(names).items() if count > 1)


class Section:
    """One mapping of a description file, read key by key.

    >>> section = Section({"rate_hz": 50}, source="robot.yaml", path="")
    >>> section.number("rate_hz", minimum=0.0)
    50.0
    >>> section.finish()
    """

    def __init__(self, data: object, *, source: str, path: str) -> None:
        """Wrap a mapping.

        Args:
            data: What stands in the file at this place.
            source: The file's name, for errors.
            path: The dotted path of this mapping in the file, empty at the top.

        Raises:
            ConfigError: ``data`` is not a mapping.
        """
        self._source = source
        self._path = path
        if not isinstance(data, dict):
            raise self.error(f"must be a mapping, found {_describe(data)}")
        self._data: dict[str, Any] = data
        self._known: set[str] = set()

    @property
    def source(self) -> str:
        """The file's name."""
        return self._source

    @property
    def names(self) -> tuple[str, ...]:
        """All keys, in file order."""
        return tuple(self._data)

    def has(self, key: str) -> bool:
        """Whether an optional key stands in the file; whoever asks must take it if it does."""
        self._known.add(key)
        return key in self._data

    def error(self, text: str, key: str | None = None) -> ConfigError:
        """An error about this section, or about one of its keys."""
        return ConfigError(f"{self._source}: {self._where(key) or 'top level'}: {text}")

    def _where(self, key: str | None) -> str:
        return ".".join(part for part in (self._path, key) if part)

    def _take(self, key: str, kind: str) -> Any:
        value = self._data.get(key, _MISSING)
        if value is _MISSING:
            present = ", ".join(self._data) or "none"
            raise self.error(f"required {kind} is missing (keys present: {present})", key)
        self._known.add(key)
        return value

    def text(self, key: str) -> str:
        """A non-empty string.

        Raises:
            ConfigError: It is missing, not a string or empty.
        """
        value = self._take(key, "string")
        if not isinstance(value, str) or not value:
            raise self.error(f"must be a non-empty string, found {_describe(value)}", key)
        return value

    def choice(self, key: str, *choices: Choice) -> Choice:
        """One of some strings.

        Raises:
            ConfigError: It is missing or none of them.
        """
        value = self._take(key, "string")
        for choice in choices:
            if value == choice:
                return choice
        raise self.error(f"must be one of {', '.join(choices)}; found {_describe(value)}", key)

    def number(
        self,
        key: str,
        *,
        minimum: float = -inf,
        maximum: float = inf,
        above: float = -inf,
    ) -> float:
        """A finite number, at least ``minimum``, at most ``maximum`` and greater than ``above``.

        Raises:
            ConfigError: It is missing, not a number, not finite or out of range.
        """
        value = _as_number(self._take(key, "number"))
        if value is None:
            raise self.error(f"must be a finite number, found {_describe(self._data[key])}", key)
        if not minimum <= value <= maximum or value <= above:
            bounds = ((">=", minimum), (">", above), ("<=", maximum))
            allowed = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if isfinite(bound))
            raise self.error(f"must be {allowed}, found {value!r}", key)
        return value

    def integer(self, key: str, *, minimum: int, maximum: int) -> int:
        """An integer within ``[minimum, maximum]``.

        Raises:
            ConfigError: It is missing, not an integer or out of range.
        """
        value = self._take(key, "integer")
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"must be an integer, found {_describe(value)}", key)
        if not minimum <= value <= maximum:
            raise self.error(f"must be in [{minimum}, {maximum}], found {value}", key)
        return value

    def integers(self, key: str, *, minimum: int, maximum: int) -> tuple[int, ...]:
        """A non-empty list of integers within ``[minimum, maximum]``.

        Raises:
            ConfigError: It is missing, empty, or holds something else.
        """
        value = self._take(key, "list")
        if not isinstance(value, list) or not value:
            raise self.error(f"must be a non-empty list of integers, found {_describe(value)}", key)
        for item in value:
            if (
                not isinstance(item, int)
                or isinstance(item, bool)
                or not minimum <= item <= maximum
            ):
                raise self.error(
                    f"must hold integers in [{minimum}, {maximum}], found {_describe(item)}", key
                )
        return tuple(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A non-empty list of distinct, non-empty strings.

        Raises:
            ConfigError: It is missing, or anything else.
        """
        value = self._take(key, "list")
        if not isinstance(value, list) or not value:
            raise self.error(f"must be a non-empty list of strings, found {_describe(value)}", key)
        for item in value:
            if not isinstance(item, str) or not item:
                raise self.error(f"must hold non-empty strings, found {_describe(item)}", key)
        for item in repeated(value):
            raise self.error(f"must be distinct, found {item!r} more than once", key)
        return tuple(value)

    def numbers(self, key: str, *, length: int) -> tuple[float, ...]:
        """A list of exactly ``length`` finite numbers.

        Raises:
            ConfigError: It is missing, of another length, or holds something else.
        """
        value = self._take(key, "list")
        if not isinstance(value, list) or len(value) != length:
            raise self.error(f"must be a list of {length} numbers, found {_describe(value)}", key)
        numbers = []
        for item in value:
            number = _as_number(item)
            if number is None:
                raise self.error(f"must hold finite numbers, found {_describe(item)}", key)
            numbers.append(number)
        return tuple(numbers)

    def scales(self, key: str, *, length: int) -> tuple[float, ...]:
        """As ``numbers``, none of them zero: what is multiplied by them can be undone.

        Raises:
            ConfigError: As of ``numbers``, or one is zero.
        """
        scales = self.numbers(key, length=length)
        if not all(scales):
            raise self.error(f"must not hold zero, found {list(scales)}", key)
        return scales

    def section(self, key: str) -> Section:
        """The mapping under a key; whoever takes it must finish it.

        Raises:
            ConfigError: It is missing or not a mapping.
        """
        data = self._take(key, "mapping")
        return Section(data, source=self._source, path=self._where(key))

    def entry(self, key: str, read: Callable[[Section], Entry]) -> Entry:
        """What ``read`` makes of the mapping under a key; what it does not ask for is refused.

        Raises:
            ConfigError: It is missing, not a mapping, or ``read`` refuses it.
        """
        section = self.section(key)
        value = read(section)
        section.finish()
        return value

    def entries(self, key: str, read: Callable[[Section], Entry]) -> dict[str, Entry]:
        """What ``read`` makes of each named mapping under a key, in file order; may be empty.

        Raises:
            ConfigError: It is missing, not a mapping of mappings, or ``read`` refuses one.
        """
        outer = self.section(key)
        return {name: outer.entry(name, read) for name in outer.names}

    def finish(self) -> None:
        """Refuse every key that nobody has asked for.

        Raises:
            ConfigError: Such a key stands in the file.
        """
        unknown = [key for key in self._data if key not in self._known]
        if unknown:
            known = ", ".join(sorted(self._known)) or "none"
            raise self.error(f"unknown key (known here: {known})", unknown[0])


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if isfinite(number) else None


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    kind = f"list of {len(value)}" if isinstance(value, list) else type(value).__name__
    return f"{kind} {shown}"
