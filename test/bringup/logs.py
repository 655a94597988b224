# SPDX-License-Identifier: Apache-2.0
"""A plain log of an episode with everything in it that a picture shows, made without ROS."""

from __future__ import annotations

import numpy as np

from vla_ros.core.config_files import config_file
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec

MS = 1_000_000
BEGUN_NS = 1_700_000_000_000_000_000
STEP_RAD = 0.004
WORST = 2


def robot(name: str = "so101_sim") -> RobotSpec:
    return load_robot_spec(config_file("robots", name))


def at(ms: float) -> int:
    """A stamp, so long after the episode's beginning."""
    return BEGUN_NS + round(ms * MS)


def episode(spec: RobotSpec, *, jump_rad: float = STEP_RAD) -> EpisodeLog:
    """Six seconds with a request every 400 ms; at 2120 ms one joint jumps with the new chunk.

    Requests 3 (silent server) and 4 (dropped) have no chunk; the robot is starved from 1600 ms to
    1700 ms, and the camera is stale for 20 ms at 3000 ms. The last request is under way.
    """
    log = EpisodeLog({"seed": 1, "begun_ns": BEGUN_NS, "instruction": "do it", "success": True})
    log.facts |= {"duration_s": 6.0, "counters": {"ticks": 300, "starved_ticks": 5}}
    for tick in range(300):
        ms = 20 * tick
        pose = 0.3 * np.sin(0.01 * tick + np.arange(len(spec.command_names)))
        pose[WORST] = jump_rad if ms >= 2120 else 0.0
        log.add("command", at(ms), pose)
        for name, stream in spec.state_streams.items():
            log.add(f"measured.{name}", at(ms + 3), np.zeros(len(stream.interfaces)))
        log.add("queue", at(ms), [20 - tick % 20, 0.6, float(1600 < ms <= 1700)])
        log.add("threshold", at(ms), 12.0)
        if 1600 < ms <= 1700:
            log.add("hold.starved", at(ms), [0.02, 1])
    log.add("hold.stale_camera", at(3020), [0.02, 1])
    for number in range(1, 15):
        asked_ms = 400 * number
        log.add("request", at(asked_ms), number)
        if number == 3:
            log.add("failure.server_silent", at(asked_ms + 300), number)
        elif number == 4:
            log.add("dropped.late", at(asked_ms + 250), 1)
        elif number < 14:
            log.add("chunk", at(asked_ms - 40), [0.04, 0.05, 0.14, 0.15, 0.16])
            log.add("blend", at(asked_ms + 120), 0.25)
    return log
