# SPDX-License-Identifier: Apache-2.0
"""A place for a local socket, in a folder that its user alone can enter. One thread."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from pathlib import Path

import zmq

_LOG = logging.getLogger(__name__)


class LocalSocket:
    """Where programs of this machine and user reach a server without TCP.

    Attributes:
        address: Such as ``ipc:///tmp/vla_ros-x/socket``; empty where there can be none.
        remove: Takes folder and socket away. A second call does nothing.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """Make the folder; whoever listens there makes the socket.

        Args:
            parent: The folder to make it in; None: the one for temporary files.
        """
        # That makes it for this user alone (mode 0700).
        folder = tempfile.mkdtemp(prefix="vla_ros-", dir=parent)
        # Called at the program's end too, if nobody did before.
        self.remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = f"{folder}/socket"
        self.address = f"ipc://{path}"
        if not zmq.has("ipc") or len(path) > zmq.IPC_PATH_MAX_LEN:
            _LOG.info("there is no local socket, because %s is too long or none can be", path)
            self.remove()
            self.address = ""
