# SPDX-License-Identifier: Apache-2.0
"""Dataclasses of ``core.params`` as described, checked and live ROS parameters.

A parameter's type, default, description and range have one home, the dataclass. A change builds a
new instance first; a bad value is refused with its reason and nothing has moved. What rclpy gets
wrong is dealt with here: ``1`` for a double, lists whose type it would guess, required parameters.

One thread: the one that spins the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, ParameterInfo, build, describe

T = TypeVar("T")

_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple: Parameter.Type.STRING_ARRAY,
}
_INT64 = (-(2**63), 2**63 - 1)


class ParameterGroup(Generic[T]):
    """The parameters of one dataclass, declared on a node.

    Attributes:
        value: The instance in force.
    """

    def __init__(self, cls: type[T], value: T, *, prefix: str, where: str) -> None:
        """Hold what was declared; ``NodeParameters.declare`` makes these."""
        self.value = value
        self._cls = cls
        self._where = where
        self._infos = {prefix + info.name: info for info in describe(cls)}
        self._listeners: list[Callable[[T], None]] = []
        self._checks: list[Callable[[T], None]] = []

    def listen(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Call ``listener`` with every new instance; it must not raise.

        Returns:
            A function that ends this.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def require(self, check: Callable[[T], None]) -> Callable[[], None]:
        """Ask ``check`` about every new instance before it is in force.

        Args:
            check: Raises ConfigError where the instance does not fit what it is for.

        Returns:
            A function that ends this.
        """
        self._checks.append(check)
        return lambda: self._checks.remove(check)

    def is_double(self, name: str) -> bool:
        """Whether a full parameter name is one of these and a double."""
        return name in self._infos and self._infos[name].type is float

    def changed(self, parameters: Iterable[Parameter]) -> T:
        """The instance that would be in force after a change; nothing is changed.

        Raises:
            ConfigError: There can be no such instance.
        """
        values = {info.name: getattr(self.value, info.name) for info in self._infos.values()}
        for parameter in parameters:
            if parameter.name in self._infos:
                values[self._infos[parameter.name].name] = parameter.value
        value = build(self._cls, values, where=self._where)
        for check in self._checks:
            check(value)
        return value

    def apply(self, parameters: Iterable[Parameter]) -> None:
        """Put a change in force that ``changed`` has accepted."""
        value = self.changed(parameters)
        if value != self.value:
            self.value = value
            for listener in tuple(self._listeners):
                listener(value)


class NodeParameters:
    """Declares dataclasses on a node and keeps their instances up to date."""

    def __init__(self, node: Node) -> None:
        """Attach to a node; there must be one of these per node.

        rclpy from Iron on can convert before and apply after a change. Before, doubles are typed
        dynamically, and a change is applied as soon as it is found good.
        """
        self._node = node
        self._groups: dict[tuple[type, str], ParameterGroup[Any]] = {}
        self._has_pre_and_post = hasattr(node, "add_pre_set_parameters_callback")
        if self._has_pre_and_post:
            node.add_pre_set_parameters_callback(self._convert)
            node.add_post_set_parameters_callback(self._apply)
        node.add_on_set_parameters_callback(self._validate)

    def declare(self, cls: type[T], *, prefix: str = "") -> ParameterGroup[T]:
        """Declare a dataclass's parameters, with the values that the node was started with.

        After a ``ConfigError`` the parameters stay declared, so that they can be set and declared
        once more. Declaring what is declared gives the same group.

        Args:
            cls: A dataclass of ``core.params.param`` fields.
            prefix: Goes before each name, such as ``backend.``.

        Raises:
            ConfigError: A value is missing, of another type, out of range, or not a choice.
        """
        known: ParameterGroup[T] | None = self._groups.get((cls, prefix))
        if known is not None:
            return known
        where = f"{self._node.get_name()}: {prefix}*" if prefix else self._node.get_name()
        infos = describe(cls)
        values = {info.name: self._declare_open(prefix + info.name, info) for info in infos}
        given = {
            info.name: values[info.name]
            for info in infos
            if values[info.name] not in (None, _plain(info.default))
        }
        group = ParameterGroup(cls, build(cls, given, where=where), prefix=prefix, where=where)
        for info in infos:
            self._close(prefix + info.name, info, getattr(group.value, info.name))
        self._groups[cls, prefix] = group
        return group

    def _declare_open(self, name: str, info: ParameterInfo) -> Any:
        """Declare one parameter of any type, and get what was given or its default."""
        if not self._node.has_parameter(name):
            default = None if info.default is REQUIRED else _plain(info.default)
            open_to_all = ParameterDescriptor(description=info.description, dynamic_typing=True)
            self._node.declare_parameter(name, default, open_to_all)
        return self._node.get_parameter(name).value

    def _close(self, name: str, info: ParameterInfo, value: Any) -> None:
        """Give a declared parameter its checked value, its type and its range."""
        self._node.set_parameters([Parameter(name, _TYPES[info.type], _plain(value))])
        descriptor = _descriptor(info)
        if info.type is float and not self._has_pre_and_post:
            descriptor.dynamic_typing = True
        self._node.set_descriptor(name, descriptor)

    def _convert(self, parameters: list[Parameter]) -> list[Parameter]:
        """Take an integer for a double: ``ros2 param set`` sends ``1`` as one."""
        return [
            Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))
            if parameter.type_ == Parameter.Type.INTEGER and self._is_double(parameter.name)
            else parameter
            for parameter in parameters
        ]

    def _is_double(self, name: str) -> bool:
        return any(group.is_double(name) for group in self._groups.values())

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for group in self._groups.values():
                group.changed(parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not self._has_pre_and_post:
            self._apply(parameters)
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        for group in self._groups.values():
            group.apply(parameters)


def _plain(value: Any) -> Any:
    """A value as rclpy wants it."""
    return list(value) if isinstance(value, tuple) else value


def _descriptor(info: ParameterInfo) -> ParameterDescriptor:
    """What ``ros2 param describe`` shows."""
    descriptor = ParameterDescriptor(
        type=_TYPES[info.type].value,
        description=info.description,
        read_only=info.read_only,
        additional_constraints=f"One of: {', '.join(info.choices)}" if info.choices else "",
    )
    if math.isinf(info.ge) and math.isinf(info.le):
        return descriptor
    if info.type is float:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(info.ge), to_value=float(info.le), step=0.0)
        ]
    elif info.type is int:
        lower = _INT64[0] if math.isinf(info.ge) else math.ceil(info.ge)
        upper = _INT64[1] if math.isinf(info.le) else math.floor(info.le)
        descriptor.integer_range = [IntegerRange(from_value=lower, to_value=upper, step=0)]
    return descriptor
