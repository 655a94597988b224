# SPDX-License-Identifier: Apache-2.0
"""Parameters as frozen dataclasses, described once.

``param`` declares a field with its description and range; ``describe`` lists a class's parameters
for whoever declares or documents them; ``build`` makes a validated instance from plain values. The
default has one home: the field. Pure; any thread may call.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, TypeVar

from vla_ros.core.errors import ConfigError

T = TypeVar("T")
REQUIRED: Any = dataclasses.MISSING
_KEY = "vla_ros.param"
# What may stand in a parameter class, and what it is called in errors.
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "a string",
    tuple: "a list of strings",
}


@dataclass(frozen=True, slots=True)
class _Meta:
    description: str
    ge: float
    le: float
    read_only: bool


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """What there is to know of one parameter.

    Attributes:
        name: The field's name.
        type: ``bool``, ``int``, ``float``, ``str``, or ``tuple`` for a list of strings.
        default: Its default; ``REQUIRED`` where it must be given.
        description: One sentence, with the unit.
        ge: Least value of a number.
        le: Greatest value of a number.
        choices: All values of a choice; empty where any will do.
        read_only: Whether it can only be set at start.
    """

    name: str
    type: type
    default: Any
    description: str
    ge: float
    le: float
    choices: tuple[str, ...]
    read_only: bool


def param(
    default: Any,
    description: str,
    *,
    ge: float = -inf,
    le: float = inf,
    read_only: bool = False,
) -> Any:
    """A dataclass field that is a parameter.

    Args:
        default: Its default, or ``REQUIRED``.
        description: One sentence, with the unit.
        ge: Least value.
        le: Greatest value.
        read_only: Whether it can only be set at start.
    """
    meta = {_KEY: _Meta(description, ge, le, read_only)}
    if default is REQUIRED:
        return dataclasses.field(metadata=meta)
    return dataclasses.field(default=default, metadata=meta)


def describe(cls: type) -> tuple[ParameterInfo, ...]:
    """All parameters of a dataclass of ``param`` fields, in order.

    Raises:
        TypeError: A field is of a type that no parameter has.

    >>> @dataclass(frozen=True)
    ... class Rates:
    ...     control_rate_hz: float = param(50.0, "Commands per second [Hz].", ge=1.0)
    >>> describe(Rates)[0].default
    50.0
    """
    hints = typing.get_type_hints(cls)
    infos = []
    for field in dataclasses.fields(cls):
        meta: _Meta = field.metadata[_KEY]
        kind, choices = _kind(hints[field.name])
        infos.append(
            ParameterInfo(
                name=field.name,
                type=kind,
                default=field.default,
                description=meta.description,
                ge=meta.ge,
                le=meta.le,
                choices=choices,
                read_only=meta.read_only,
            )
        )
    return tuple(infos)


def build(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """A validated instance of a parameter class.

    An integer is taken for a float, because ``ros2 param set`` and YAML write ``1`` for ``1.0``.

    Args:
        cls: A dataclass of ``param`` fields.
        values: Name to value; what is not given takes its default.
        where: Where the values come from, for errors.

    Raises:
        ConfigError: A name is unknown or missing, or a value is of another type, out of range or
            not among the choices, or ``cls`` itself refuses the combination.
    """
    infos = {info.name: info for info in describe(cls)}
    unknown = [name for name in values if name not in infos]
    if unknown:
        known = ", ".join(infos) or "none"
        raise ConfigError(f"{where}: unknown parameter {unknown[0]!r}; known: {known}")
    for name, info in infos.items():
        if info.default is REQUIRED and name not in values:
            given = ", ".join(values) or "none"
            raise ConfigError(f"{where}: parameter {name!r} is required; given: {given}")
    return cls(
        **{
            name: check(info, values.get(name, info.default), where=where)
            for name, info in infos.items()
        }
    )


def check(info: ParameterInfo, value: object, *, where: str) -> Any:
    """One value, converted to its parameter's type and checked.

    Raises:
        ConfigError: It is of another type, out of range or not among the choices.
    """
    name = f"{where}: parameter {info.name!r}"
    if info.type is float and type(value) is int:  # isinstance would take true for 1.0
        with suppress(OverflowError):
            value = float(value)
    if info.type is tuple and isinstance(value, list):
        value = tuple(value)
    if not _is_a(info.type, value):
        found = f"{type(value).__name__} {value!r}"
        raise ConfigError(f"{name} must be {_KINDS[info.type]}, found {found}")
    if info.choices and value not in info.choices:
        raise ConfigError(f"{name} must be one of {', '.join(info.choices)}; found {value!r}")
    if isinstance(value, (int, float)) and not info.ge <= value <= info.le:
        raise ConfigError(f"{name} must be in [{info.ge:g}, {info.le:g}], found {value!r}")
    return value


def _is_a(kind: type, value: object) -> bool:
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if kind is float:
        return isinstance(value, float) and isfinite(value)
    return type(value) is kind


def _kind(hint: Any) -> tuple[type, tuple[str, ...]]:
    """The plain type and the choices behind an annotation."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal and all(isinstance(a, str) for a in arguments):
        return str, arguments
    if typing.get_origin(hint) is tuple and arguments == (str, ...):
        return tuple, ()
    if hint in (bool, int, float, str):
        return hint, ()
    allowed = "bool, int, float, str, Literal of strings, tuple[str, ...]"
    raise TypeError(f"a parameter is one of {allowed}; found {hint}")
