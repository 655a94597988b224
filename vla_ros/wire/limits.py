# SPDX-License-Identifier: Apache-2.0
"""How large what is sent may be. Pure; any thread may call."""

from __future__ import annotations

from vla_ros.core.errors import WireFormatError

DEFAULT_MAX_BYTES = 64 * 1024 * 1024


def check_length(what: str, data: bytes | memoryview, max_bytes: int) -> None:
    """See that something is not longer than allowed.

    Args:
        what: Its name, for the error.
        data: What came.
        max_bytes: How much is allowed.

    Raises:
        WireFormatError: It is longer.
    """
    if len(data) > max_bytes:
        raise WireFormatError(f"{what} has {len(data)} bytes; at most {max_bytes} are allowed")
