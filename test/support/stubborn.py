# SPDX-License-Identifier: Apache-2.0
"""A program for tests of process handling: says it is up, then does as its first argument says.

``obey`` ends on SIGINT with 0, ``ignore`` ends on SIGKILL alone, ``fail`` ends at once with 3.
"""

from __future__ import annotations

import signal
import sys
import threading


def main(how: str) -> int:
    told = threading.Event()
    if how == "fail":
        sys.stdout.write("cannot go on: no reason\n")
        return 3
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set() if how == "obey" else None)
    sys.stdout.write("up\n")
    sys.stdout.flush()
    told.wait(60.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
