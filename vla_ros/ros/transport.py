# SPDX-License-Identifier: Apache-2.0
"""Which transports Fast DDS uses in this process. For the main thread, before ROS is initialized.

Whoever runs another middleware is not concerned.
"""

from __future__ import annotations

import os
from pathlib import Path

from vla_ros.core.config_files import config_file

# Where Fast DDS looks for a profile: the first name up to Jazzy, the second since Kilted.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def keep_off_shared_memory() -> None:
    """Use UDP alone, unless the user chose a profile: for a process that keeps time.

    When a process joins, Fast DDS opens its shared memory port, waits there for up to a third of
    a second even if all is well, and lets nobody publish meanwhile (its issue 6535).

    Raises:
        ConfigError: A profile is not installed.
    """
    ours = config_file("dds", "fast_dds", suffix=".xml").read_bytes()
    chosen = [Path(os.environ[name]) for name in PROFILE_VARIABLES if name in os.environ]
    # Another workspace's copy of ours is ours as well.
    if all(path.is_file() and path.read_bytes() == ours for path in chosen):
        profile = str(config_file("dds", "fast_dds_udp", suffix=".xml"))
        os.environ.update(dict.fromkeys(PROFILE_VARIABLES, profile))
