# SPDX-License-Identifier: Apache-2.0
"""Whether a server's local socket may be used instead of its port. Any thread may call."""

from __future__ import annotations

import os
import stat

_SCHEME = "ipc://"


def is_own_socket(address: str) -> bool:
    """Whether an address is that of a socket on this machine, made by the user of this process.

    Args:
        address: Such as ``ipc:///tmp/folder/socket``, from whoever answered.
    """
    path = address.removeprefix(_SCHEME)
    if path == address or not os.path.isabs(path) or "\0" in path:
        return False
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()
