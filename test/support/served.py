# SPDX-License-Identifier: Apache-2.0
"""A policy served as policy_server serves it, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vla_ros.backends.base import PolicyBackend
from vla_ros.serving.policy_server import make_server
from vla_ros.serving.server_options import parser


@contextmanager
def served(backend: PolicyBackend, *options: str) -> Iterator[int]:
    """The port at which a backend is served inside the block, and not after.

    Args:
        backend: What is served; robot and policy are its own.
        options: Of policy_server.
    """
    given = ["--robot", "its own", "--policy", "its own", "--port", "0", *options]
    server, reloader = make_server(parser().parse_args(given), backend)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield int(server.fronts[0].address.rpartition(":")[2])
    finally:
        server.stop()
        thread.join(10)
        reloader.close()
        assert not thread.is_alive()
