# SPDX-License-Identifier: Apache-2.0
"""Writes golden pickles of the ACT wire as a client and a server in plain Python send them.

Needs Python and numpy alone, of any version: ``python act_golden.py FOLDER``. It also sees that
Python's own unpickler reads ``ours_*``, which this package wrote, as the same.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

CAMERAS = ("rgb_main", "rgb_left", "rgb_under")
QPOS = np.concatenate([np.arange(3), np.arange(3, 9), np.arange(9, 16), np.arange(16, 17)]).astype(
    np.float32
) / np.float32(8) - np.float32(1)
IMAGES = {
    camera: (np.arange(18, dtype=np.uint8) + 20 * index).reshape(2, 3, 3)
    for index, camera in enumerate(CAMERAS)
}
ACTION = np.arange(16, dtype=np.float32) / np.float32(4) - np.float32(2)
MESSAGES: dict[str, Any] = {
    "reset": "RESET",
    "request": {"qpos": QPOS, "images": IMAGES},
    "request_double": {"qpos": QPOS.astype(np.float64), "images": IMAGES},
    "done": {"status": "OK"},
    "action": {"status": "OK", "action": ACTION},
    "action_double": {"status": "OK", "action": ACTION.astype(np.float64)},
    "error": {"status": "ERROR", "message": "KeyError: 'rgb_main'"},
}


def main(folder: Path) -> None:
    major = np.__version__.partition(".")[0]
    for name, message in MESSAGES.items():
        for protocol in (4, 5):
            path = folder / f"{name}_numpy{major}_{protocol}.pickle"
            path.write_bytes(pickle.dumps(message, protocol))
        ours = folder / f"ours_{name}.pickle"
        if ours.exists():
            np.testing.assert_equal(pickle.loads(ours.read_bytes()), message)
            sys.stdout.write(f"{ours.name} is read by numpy {np.__version__}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
