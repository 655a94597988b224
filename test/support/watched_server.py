# SPDX-License-Identifier: Apache-2.0
"""A policy server that gives unused memory back when it is told to by SIGUSR1, and says so.

Only what it still needs counts then. It keeps quiet of what it refuses.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
import signal
import sys

from vla_ros.serving.policy_server import main

_TIMES = itertools.count(1)


def give_back(*_: object) -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    sys.stdout.write(f"gave back {next(_TIMES)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, give_back)
    logging.getLogger("vla_ros.serving").setLevel(logging.ERROR)
    logging.getLogger("vla_ros.serving.policy_worker").setLevel(logging.INFO)
    sys.exit(main())
