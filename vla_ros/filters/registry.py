# SPDX-License-Identifier: Apache-2.0
"""Find a filter by its name. Any thread may call."""

from __future__ import annotations

import importlib
import pkgutil

import vla_ros.filters
from vla_ros.core.errors import ConfigError
from vla_ros.core.filter import Filter, FilterSettings
from vla_ros.core.robot_spec import RobotSpec


def filter_names() -> tuple[str, ...]:
    """All filters that this package has, whether or not their libraries are installed."""
    names = (module.name for module in pkgutil.iter_modules(vla_ros.filters.__path__))
    return tuple(sorted(name for name in names if name != "registry"))


def make_filter(name: str, robot: RobotSpec, settings: FilterSettings) -> Filter:
    """Make a filter for a robot; its ``reset`` must come before its ``step``.

    Raises:
        ConfigError: There is no such filter, or a library that it needs is not installed.
    """
    if name not in filter_names():
        raise ConfigError(
            f"filters: {name!r} does not exist; there are {', '.join(filter_names())}"
        )
    try:
        module = importlib.import_module(f"vla_ros.filters.{name}")
    except ImportError as error:
        raise ConfigError(
            f"filters: {name!r} needs the Python package {error.name}, which cannot be imported"
            f" ({error}); pip install {error.name}"
        ) from error
    made: Filter = module.make(robot, settings)
    return made
