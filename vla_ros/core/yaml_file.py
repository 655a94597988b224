# SPDX-License-Identifier: Apache-2.0
"""Strict reading of description files: YAML text to a ``Section``.

Stricter than YAML: the top level is a mapping, keys are distinct non-empty strings. Pure apart from
``load``, which reads the file; any thread may call.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from vla_ros.core.errors import ConfigError
from vla_ros.core.section import Section


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key standing twice in one mapping, and takes 1e-3 for a number."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key, kind = key_node.value, key_node.tag.rpartition(":")[2]
        problem = None
        if kind != "str" or not key:
            problem = f"key {key!r} is a {kind}; a key must be a non-empty string"
        elif key in seen:
            problem = f"key {key!r} stands twice"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
# YAML 1.1 wants a dot and a sign (1.0e-3), and takes 1e-3 for a string. ROS's own reader does not.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load(path: Path) -> Section:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.

    Returns:
        Its top-level section.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or is not a mapping of string keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str) -> Section:
    """Read YAML text whose top level is a mapping; ``source`` names it in errors.

    Raises:
        ConfigError: The text is not YAML, or not a mapping of string keys.
    """
    try:
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{source}: not valid YAML: {where}{problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-99-99
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    return Section(data, source=source, path="")
