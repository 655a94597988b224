# SPDX-License-Identifier: Apache-2.0
"""The size that images are given before a policy sees them. Immutable; any thread may read it."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.core.section import Section

_MAX_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Resize:
    """What is done to a camera's images before they are sent to a policy server.

    Attributes:
        height: What they have afterwards [px].
        width: What they have afterwards [px].
        pad: Whether they keep their proportions, black bars beside them; else they are stretched.
    """

    height: int
    width: int
    pad: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width [px]."""
        return self.height, self.width


def read_size(section: Section) -> tuple[int, int]:
    """Height and width [px], the key ``size``.

    Raises:
        ConfigError: It is missing, or anything else.
    """
    size = section.integers("size", minimum=1, maximum=_MAX_SIDE)
    if len(size) != 2:
        raise section.error(f"must be [H, W], found {list(size)}", "size")
    return size[0], size[1]


def read_resize(section: Section) -> Resize | None:
    """What is done to images, the keys ``size`` and ``resize``; None: they stay as they are.

    Raises:
        ConfigError: One of the keys is there without the other, or malformed.
    """
    if not section.has("size") and not section.has("resize"):
        return None
    height, width = read_size(section)
    return Resize(height, width, section.choice("resize", "stretch", "pad") == "pad")
