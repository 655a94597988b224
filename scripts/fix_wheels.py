# SPDX-License-Identifier: Apache-2.0
"""Makes the ROS wheels' CMake files name this Python instead of the one that they were built with.

Run by the Python of the virtual environment, after installing. Running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

BUILDER = r"/opt/python/cp3\d+-cp3\d+"


def fix(text: str, *, include: str, site_packages: str) -> str:
    """Replaces the builder's folders of headers and of packages in the text of a CMake file."""
    text = re.sub(rf"{BUILDER}/include/python3\.\d+", lambda _: include, text)
    return re.sub(rf"{BUILDER}/lib/python3\.\d+/site-packages", lambda _: site_packages, text)


def main() -> int:
    """Mends all CMake files of the running Python's environment; returns the exit status."""
    paths = sysconfig.get_paths()
    for path in sorted(Path(sys.prefix, "share").glob("*/cmake/*.cmake")):
        before = path.read_text(encoding="utf-8")
        after = fix(before, include=paths["include"], site_packages=paths["purelib"])
        if re.search(BUILDER, after):
            sys.stderr.write(f"{path} still names its builder's folders\n")
            return 1
        if after != before:
            path.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
