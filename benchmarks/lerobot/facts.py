# SPDX-License-Identifier: Apache-2.0
"""What both sides are told alike."""

from __future__ import annotations

import math

RATE_HZ = 30.0
CHUNK = 50
# How long a chunk takes at least.
LATENCY_S = 0.035
HEIGHT, WIDTH = 480, 640
# What the policy sees of an image: small, so that a chunk takes no longer on a small machine.
SEEN_HEIGHT, SEEN_WIDTH = 48, 64
CAMERAS = ("front", "wrist", "top")
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def swing_deg(at_s: float) -> float:
    """Where every joint is measured, so that no observation is like the one before [degrees]."""
    return 30.0 * math.sin(at_s)
