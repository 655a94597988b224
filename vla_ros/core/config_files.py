# SPDX-License-Identifier: Apache-2.0
"""Find the description files that come with the package. Reads the file system only; any thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vla_ros.core.errors import ConfigError


def config_folders() -> tuple[Path, ...]:
    """Where ``config`` may be: a source checkout, every ROS prefix, and Python's own prefix."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    installed = [Path(prefix) / "share" / "vla_ros" / "config" for prefix in prefixes if prefix]
    return (Path(__file__).resolve().parents[2] / "config", *installed)


def config_names(kind: str) -> tuple[str, ...]:
    """The names that ``config_file`` knows.

    Args:
        kind: A folder of ``config``: ``robots``, ``policies`` ...
    """
    folders = (folder / kind for folder in config_folders())
    return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.yaml")}))


def config_file(kind: str, name: str, *, suffix: str = ".yaml") -> Path:
    """The file behind a name, or the path itself where one is given.

    Args:
        kind: A folder of ``config``: ``robots``, ``policies`` ...
        name: ``so101_sim``, or a path to a ``.yaml`` file.
        suffix: What such files end with.

    Raises:
        ConfigError: There is no such file.
    """
    if name.endswith(suffix):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{kind}: file {name} does not exist")
        return path
    for folder in config_folders():
        path = folder / kind / f"{name}{suffix}"
        if path.is_file():
            return path
    known = ", ".join(config_names(kind)) or "none"
    raise ConfigError(
        f"{kind}: {name!r} is not known; known: {known}; or give a {suffix} file's path"
    )
