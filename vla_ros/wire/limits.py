# SPDX-License-Identifier: Apache-2.0
"""How large what is sent may be. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Iterable

from vla_ros.core.errors import WireFormatError

DEFAULT_MAX_BYTES = 64 * 1024 * 1024


def check_length(
    what: str,
    data: bytes | memoryview,
    max_bytes: int,
    *,
    rest: Iterable[bytes | memoryview] = (),
) -> None:
    """See that something is not longer than allowed.

    Args:
        what: Its name, for the error.
        data: What came.
        max_bytes: How much is allowed.
        rest: Its other parts, where it came in several; they count too.

    Raises:
        WireFormatError: It is longer.
    """
    length = len(data) + sum(len(part) for part in rest)
    if length > max_bytes:
        raise WireFormatError(f"{what} has {length} bytes; at most {max_bytes} are allowed")
