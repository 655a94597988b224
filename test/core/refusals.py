# SPDX-License-Identifier: Apache-2.0
"""What the tests of bad input share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vla_ros.core.errors import VlaRosError


@contextmanager
def refused(error: type[VlaRosError], *parts: str) -> Iterator[None]:
    """The body must raise exactly this error, and its text must have all the parts."""
    with pytest.raises(error) as info:
        yield
    assert type(info.value) is error
    missing = [part for part in parts if part not in str(info.value)]
    assert not missing, f"{missing} not in: {info.value}"


def changed(text: str, old: str, new: str) -> str:
    """A description with its one ``old`` replaced; ``\\n`` at an end stands for a line's end."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)
